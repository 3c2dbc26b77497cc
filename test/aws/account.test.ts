/** The open questions of docs/AWS.md: of an account where `TIDEMARK_AWS` is 1, and always of the stand-in, so that they can be asked when there is one. */
import { readFileSync } from 'node:fs'
import type { Settings } from '../../cli/config.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import { AwsWorld } from '../support/aws/world.ts'
import { GatedStore } from '../support/gated-store.ts'
import { testServer, type TestServer } from '../support/server.ts'
import { Asked, questions } from './account-questions.ts'

const isAsked = process.env['TIDEMARK_AWS'] === '1'
const file = process.env['TIDEMARK_TEST_AWS_CONFIG']
if (!isAsked) console.log('SKIPPED: an account of AWS is asked nothing (docs/AWS.md, "Asking an account")')

describe('the questions to AWS IoT Core, asked of the stand-in, which answers as we expect it', function () {
  this.timeout(120_000)
  let world: AwsWorld
  let server: TestServer
  const store = new GatedStore(new MemoryStore())

  before(async () => {
    world = await AwsWorld.start()
    server = await world.server({}, { store })
  })
  after(async () => {
    await server?.stop()
    await world?.close()
  })
  askAll(() => new Asked(server, store, 1_000))
})

if (isAsked) {
  describe('AWS IoT Core itself', function () {
    this.timeout(1_200_000)
    let server: TestServer
    const store = new GatedStore(new MemoryStore())

    before(async () => {
      if (file === undefined) throw new Error('TIDEMARK_TEST_AWS_CONFIG must name a file with the awsIot that `tidemark aws apply` prints')
      const { awsIot } = JSON.parse(readFileSync(file, 'utf8')) as Pick<Settings, 'awsIot'>
      if (!awsIot) throw new Error(`${file} has no awsIot`)
      server = await testServer({ settings: { engine: 'aws-iot', awsIot }, overrides: { store } })
    })
    after(() => server?.stop())
    askAll(() => new Asked(server, store, 840_000))
  })
}

function askAll(begin: () => Asked): void {
  for (const { asks, ask } of questions) {
    it(asks, async () => {
      const asked = begin()
      try {
        await ask(asked)
      } finally {
        asked.end()
      }
    })
  }
}
