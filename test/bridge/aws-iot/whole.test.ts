/** The whole way: SDK, AWS IoT Core's stand-in, `tidemark serve`, and back, while the server is killed and AWS cuts. */
import { expect } from 'chai'
import { connect, type Client } from '../../../client/index.ts'
import type { Entry } from '../../../client/entry.ts'
import { AwsWorld, awsCredentials } from '../../support/aws/world.ts'
import { childServer, type ChildServer } from '../../support/server.ts'
import { Inbox } from '../../support/waiting.ts'

const env = {
  AWS_ACCESS_KEY_ID: awsCredentials.accessKeyId,
  AWS_SECRET_ACCESS_KEY: awsCredentials.secretAccessKey,
}

describe('[P-20.1] the engine aws-iot, from SDK to SDK', function () {
  this.timeout(120_000)
  let world: AwsWorld
  let server: ChildServer
  const clients: Client[] = []

  before(async () => {
    world = await AwsWorld.start()
    server = await childServer({ settings: world.settings, env })
    await world.bridged()
  })
  after(async () => {
    for (const one of clients) await one.close()
    await server?.kill('SIGKILL')
    await world?.close()
  })

  function client(name: string): Client {
    const made = connect({ url: server.urls.http, name, getToken: () => server.token('alice'), onWarning: () => {} })
    clients.push(made)
    return made
  }

  it('is served without a listener for MQTT', () => {
    expect(server.stdout)
      .to.match(/^tidemark ready http=127\.0\.0\.1:\d+$/m)
      .and.to.include('AWS IoT Core carries MQTT')
  })

  it('[P-20.2] [P-20.14] kill -9 of the bridge, cuts and disorder lose nothing that was answered, and the other reads it all in order', async () => {
    Object.assign(world.gateway.switches, { reorder: 3, duplicate: true })
    const [writer, reader] = [client('writer'), client('reader')]
    const seen = new Inbox<Entry>()
    const reading = (async () => {
      for await (const item of reader.stream('users/alice').entries({ from: 'earliest' })) seen.add(item)
    })()
    const stream = writer.stream('users/alice')
    const count = 60
    const positions: string[] = []
    for (let n = 0; n < count; n++) {
      const published = stream.publish('n', n)
      if (n === 20) {
        await server.kill('SIGKILL')
        await server.start()
      }
      if (n === 35) world.gateway.cut('svc.')
      if (n === 45) world.gateway.cut('acme.')
      positions.push((await published).pos)
    }
    expect(writer.status.get().transport).to.equal('aws-iot')
    await seen.until(() => seen.all.length >= count, `${count} entries`, 60_000)
    expect(seen.all.map(({ data }) => data)).to.deep.equal(Array.from({ length: count }, (_, n) => n))
    expect(seen.all.map(({ pos }) => pos)).to.deep.equal(positions)
    expect(positions.map((pos) => Number(pos.split('.')[1]))).to.deep.equal(Array.from({ length: count }, (_, n) => n + 1))
    await reader.close()
    await reading.catch(() => {})
  })
})
