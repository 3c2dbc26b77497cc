/** mosquitto_sub and mosquitto_pub, as Debian ships them. */
import { expect } from 'chai'
import { testServer, type TestServer } from '../support/server.ts'
import { need } from '../support/skipping.ts'
import { endPrograms, Program } from './tools.ts'

describe('mosquitto_sub and mosquitto_pub', function () {
  this.timeout(120_000)
  let server: TestServer
  let token: string

  before(async function () {
    need(this, 'mosquitto_sub', 'apt-get install mosquitto-clients')
    need(this, 'mosquitto_pub', 'apt-get install mosquitto-clients')
    server = await testServer({ store: 'level' })
    token = await server.token('alice')
  })
  afterEach(endPrograms)
  after(() => server?.stop())

  const target = (): string[] => ['-p', String(server.ports.mqtt), '-u', 'alice', '-P', token]
  const pub = (...args: string[]): Promise<readonly string[]> => new Program('mosquitto_pub', [...target(), ...args]).done()
  /** Resolves when it has subscribed. `-d` makes it say so. */
  const sub = async (...args: string[]): Promise<Program> => {
    const program = new Program('stdbuf', ['-oL', 'mosquitto_sub', '-d', '-v', ...target(), ...args])
    await program.lines.take((line) => line.startsWith('Subscribed'), 'Subscribed')
    return program
  }
  const message = (line: string): boolean => /^(users|sync|reply)/.test(line)

  for (const qos of ['0', '1', '2']) {
    it(`[P-4.1, P-4.7] publishes at QoS ${qos} and receives`, async () => {
      const program = await sub('-q', '2', '-t', `users/alice/q${qos}/#`, '-C', '1')
      await pub('-q', qos, '-t', `users/alice/q${qos}/x`, '-m', 'hello')
      expect((await program.done()).filter(message)).to.deep.equal([`users/alice/q${qos}/x hello`])
    })
  }

  it('[P-4.12, P-3.21] keeps and deletes retained messages', async () => {
    await pub('-q', '1', '-r', '-t', 'users/alice/kept', '-m', 'here')
    const first = await sub('-q', '1', '-t', 'users/alice/kept', '-C', '1', '--retained-only')
    expect((await first.done()).filter(message)).to.deep.equal(['users/alice/kept here'])
    await pub('-q', '1', '-r', '-n', '-t', 'users/alice/kept')
    const second = await sub('-q', '1', '-t', 'users/alice/kept', '-t', 'users/alice/other', '-C', '1')
    await pub('-q', '1', '-t', 'users/alice/other', '-m', 'first')
    expect((await second.done()).filter(message)).to.deep.equal(['users/alice/other first'])
  })

  it('[P-4.27] publishes the will of one that was killed, and none of one that left', async () => {
    const watcher = await sub('-q', '1', '-t', 'users/alice/will')
    const will = ['--will-topic', 'users/alice/will', '--will-qos', '1', '--will-payload']
    await (await sub('-t', 'users/alice/x', ...will, 'left')).kill('SIGTERM')
    await (await sub('-t', 'users/alice/x', ...will, 'killed')).kill('SIGKILL')
    expect(await watcher.lines.take(message, 'the will')).to.equal('users/alice/will killed')
  })

  it('[P-4.17, P-4.20] a phone that was away gets a thousand messages in order, after a restart of the server', async () => {
    const phone = ['-i', 'phone', '-c', '-q', '1', '-t', 'users/alice/news/#']
    await (await sub(...phone)).kill('SIGTERM')
    const numbers = Array.from({ length: 1_000 }, (_, at) => `${at}`)
    await new Program('mosquitto_pub', [...target(), '-q', '1', '-l', '-t', 'users/alice/news/1'], numbers.join('\n') + '\n').done()
    await server.restart()
    const returned = new Program('mosquitto_sub', [...target(), ...phone, '-C', '1000'])
    expect(await returned.done()).to.deep.equal(numbers)
  })

  it('[P-6.2, P-3.3 – P-3.8] reads the log from its beginning', async () => {
    await pub('-q', '1', '-t', 'users/alice/logged', '-m', 'entry')
    const program = await sub('-q', '1', '-t', 'sync@earliest/users/alice/#')
    const line = await program.lines.take((text) => text.includes('"entry"'), 'the envelope')
    const [topic, json] = [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]
    expect(topic).to.equal('sync@earliest/users/alice/logged')
    expect(JSON.parse(json)).to.include({ from: 'alice', topic: 'users/alice/logged', text: 'entry' })
  })

  it('[P-7.16] says that it was refused, and ends', async () => {
    const refused = new Program('mosquitto_pub', [
      '-p',
      String(server.ports.mqtt),
      '-u',
      'alice',
      '-P',
      'wrong',
      '-t',
      'users/alice/x',
      '-m',
      'x',
    ])
    const ended = await refused.done().then(
      () => 'well',
      (error: Error) => error.message,
    )
    expect(ended).to.match(/Connection (Refused|error)/i)
  })
})
