/** The board, started as its README says, in a real Chromium: with this server carrying MQTT, and with AWS IoT Core. */
import { expect } from 'chai'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { AwsWorld, awsCredentials } from '../support/aws/world.ts'
import { browsing } from '../support/browser.ts'
import { tempFolder } from '../support/temp.ts'
import { boardHolds } from './board-scenarios.ts'
import { exampleProgram } from './program.ts'

describe('examples/board', function () {
  this.timeout(90_000)
  const browser = browsing()
  boardHolds(browser, exampleProgram('board'))
})

describe('[P-14.1] [P-20.13] [P-20.14] examples/board over AWS IoT Core, which doubles and reorders', function () {
  this.timeout(90_000)
  const browser = browsing()
  let world: AwsWorld
  after(() => world?.close())
  beforeEach(async () => {
    await world?.close()
    world = await AwsWorld.start()
    Object.assign(world.gateway.switches, { duplicate: true, reorder: 3 })
  })
  const example = exampleProgram('board', async () => {
    const file = join(await tempFolder(), 'aws.json')
    await writeFile(file, JSON.stringify(world.settings))
    return {
      SETTINGS: file,
      AWS_ACCESS_KEY_ID: awsCredentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: awsCredentials.secretAccessKey,
    }
  })
  beforeEach(() => world.bridged())
  afterEach(async () => {
    const { connects, published } = world.gateway
    // The page would go on over HTTP alone, too.
    const edits = published.filter(({ topic }) => topic.startsWith('acme/put/spaces/board-7/cards/'))
    expect([connects.some((clientId) => clientId.startsWith('acme.alice.')), edits.length > 0]).to.deep.equal([true, true])
  })
  boardHolds(browser, example)
})
