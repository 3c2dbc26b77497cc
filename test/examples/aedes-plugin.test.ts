/** The example of `tidemark/auth`, run as its README says, by clients over the wire. */
import { expect } from 'chai'
import { spawn, type ChildProcess } from 'node:child_process'
import { connectAsync, type MqttClient } from 'mqtt'
import { cleanEnvironment, developmentToken } from '../support/server.ts'
import { read, root } from '../support/source-files.ts'
import { tempFolder } from '../support/temp.ts'
import { Inbox, within } from '../support/waiting.ts'

describe('examples/aedes-plugin', function () {
  this.timeout(60_000)
  let broker: ChildProcess
  let url: string
  let folder: string
  let printed = ''
  const clients: MqttClient[] = []

  before(async () => {
    folder = await tempFolder()
    const env = { ...cleanEnvironment(), PORT: '0', DATA: folder }
    // A group of its own: npm starts what it runs as a child.
    broker = spawn('npm', ['run', '--silent', 'example:aedes'], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    const output = new Inbox<string>()
    for (const stream of [broker.stdout, broker.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        printed += text
        output.add(text)
      })
    }
    broker.once('exit', () => output.end(`the example ended: ${printed}`))
    await output.until(() => /aedes ready mqtt=\S+\n/.test(printed), 'the example to be ready', 40_000)
    url = `mqtt://${/ready mqtt=(\S+)/.exec(printed)?.[1]}`
  })
  after(async () => {
    await Promise.all(clients.map((client) => client.endAsync(true)))
    process.kill(-(broker.pid as number), 'SIGTERM')
  })

  const connect = async (password: string | undefined, clientId = 'phone'): Promise<MqttClient> => {
    const more = password === undefined ? {} : { username: 'anybody', password }
    const client = await connectAsync(url, { clientId, reconnectPeriod: 0, connectTimeout: 5_000, ...more })
    client.on('error', () => {})
    clients.push(client)
    return client
  }
  const closed = (client: MqttClient): Promise<void> =>
    within(new Promise((resolve) => void client.once('close', () => resolve())), 'the end of a connection')
  const refusedWith = (connecting: Promise<MqttClient>): Promise<unknown> =>
    connecting.then(
      () => 'connected',
      (error: unknown) => (error as { code: unknown }).code,
    )
  const tokenOf = (name: string, ttlMs = 60_000): Promise<string> => developmentToken(folder, name, { ttlMs })

  it('is run by the command that its README gives, and prints a token that works', async () => {
    expect(read('examples/aedes-plugin/README.md')).to.match(/^ {4}npm run example:aedes$/m)
    const token = /TOKEN=(\S+)/.exec(printed)?.[1]
    const alice = await connect(token)
    expect(await alice.subscribeAsync('users/alice/#', { qos: 1 })).to.deep.equal([{ topic: 'users/alice/#', qos: 1 }])
  })

  it('[P-10.16] lets users publish and read what is theirs', async () => {
    const alice = await connect(await tokenOf('alice'), 'tab')
    await alice.subscribeAsync('users/alice/#', { qos: 1 })
    const heard = new Promise<string>(
      (resolve) => void alice.once('message', (topic, payload) => resolve(`${topic} ${payload.toString()}`)),
    )
    await alice.publishAsync('users/alice/notes/1', 'hello', { qos: 1 })
    expect(await within(heard, 'the message')).to.equal('users/alice/notes/1 hello')
  })

  it('[P-7.16, P-4.8, P-4.5] refuses who shows no token, and what it does not grant', async () => {
    expect(await refusedWith(connect(undefined, 'nobody'))).to.equal(4)
    expect(await refusedWith(connect('nonsense', 'nobody'))).to.equal(4)
    expect(await refusedWith(connect(await developmentToken(await tempFolder(), 'alice'), 'nobody'))).to.equal(4)
    const bob = await connect(await tokenOf('bob'))
    const [granted] = await bob.subscribeAsync('users/alice/#', { qos: 1 }).catch(() => [{ qos: 128 }])
    expect(granted?.qos).to.equal(128)
    const gone = closed(bob)
    bob.publish('users/alice/notes/1', 'x', { qos: 1 })
    await gone
  })

  it('[P-4.16] keeps users with one client id apart', async () => {
    const [alice, bob] = [await connect(await tokenOf('alice'), 'same'), await connect(await tokenOf('bob'), 'same')]
    await bob.publishAsync('users/bob/x', 'x', { qos: 1 })
    await alice.publishAsync('users/alice/x', 'x', { qos: 1 })
    expect([alice.connected, bob.connected]).to.deep.equal([true, true])
  })

  it('[P-10.23, P-10.4] closes a connection when its token expires, and lets nobody in with it again', async () => {
    const token = await tokenOf('alice', 2_000)
    const alice = await connect(token, 'short')
    await closed(alice)
    expect(await refusedWith(connect(token, 'short'))).to.equal(4)
  })
})
