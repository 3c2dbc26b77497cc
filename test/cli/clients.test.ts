import { expect } from 'chai'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { compiledProgram } from '../support/program.ts'
import { childServer, cleanEnvironment, testServer, type ChildServer, type TestServer } from '../support/server.ts'
import { tempFolder } from '../support/temp.ts'
import { inProcess, tidemark, type Run } from './run.ts'

const position = /^[\w-]{8}\.\d+\.[\w-]{4}$/

describe('pub, sub, history and state', function () {
  this.timeout(60_000)
  let server: TestServer
  let token: string

  before(async () => {
    server = await testServer({ settings: { open: true } })
    token = await server.token('alice', { spaces: { b: 'own' }, ttlMs: 86_400_000 })
  })
  after(() => server.stop())

  const pub = (...args: string[]): Promise<Run> => inProcess(['pub', ...args, '--url', server.urls.mqtt, '--token', token])
  const sub = (...args: string[]): Promise<Run> => inProcess(['sub', ...args, '--url', server.urls.ws, '--token', token])
  const get = (...args: string[]): Promise<Run> => inProcess([...args, '--url', server.urls.http, '--token', token])
  const published = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await pub(...args)
    expect({ code, stderr }).to.deep.equal({ code: 0, stderr: '' })
    expect(stdout.trimEnd()).to.match(position)
    return stdout.trimEnd()
  }

  it('publishes texts and JSON, and every door shows them under the position printed', async () => {
    const first = await published('users/alice/a/1', '-m', 'hello you')
    const second = await published('users/alice/a/2', '--json', '{"big": 12345678901234567890, "x": [1.0]}')
    const lines = `${first} users/alice/a/1 hello you\n${second} users/alice/a/2 {"big":12345678901234567000,"x":[1]}\n`
    expect((await get('history', 'users/alice', '--topic', 'a/#')).stdout).to.equal(lines)
    const followed = await sub('users/alice/a/#', '--from', 'earliest', '--count', '2')
    expect(followed).to.deep.equal({ code: 0, stdout: lines, stderr: '' })
    expect((await sub('users/alice/#', '--from', first, '-C', '1')).stdout).to.equal(lines.split('\n')[1] + '\n')
    const [envelope] = (await get('history', 'users/alice', '--after', first, '--limit', '1', '--json')).stdout.split('\n')
    expect(JSON.parse(envelope as string)).to.include({ pos: second, from: 'alice', topic: 'users/alice/a/2' })
  })

  it('shows payloads as they were sent, and none can break its line', async () => {
    const { connectAsync } = await import('mqtt')
    const client = await connectAsync(server.urls.mqtt, { username: 'x', password: token })
    const payloads = [
      '{"n": 1.0,\n "m": 12345678901234567890}',
      'two lines of some length\nin red \u001b[31m',
      Buffer.from([0xff, 0x00]),
      'plain "text"',
      '"\\u00e9"',
    ]
    for (const payload of payloads) await client.publishAsync('users/alice/raw', payload, { qos: 1 })
    await client.endAsync()
    const { stdout } = await get('history', 'users/alice', '--topic', 'raw')
    const shown = stdout.trimEnd().split('\n')
    expect(shown.map((line) => line.split(' ').slice(2).join(' '))).to.deep.equal([
      '{"n": 1.0,  "m": 12345678901234567890}',
      '"two lines of some length\\nin red \\u001b[31m"',
      'base64:/wA=',
      'plain "text"',
      '"\\u00e9"',
    ])
  })

  it('keeps state, deletes it, and honours conditions and ids', async () => {
    const created = await published('spaces/b/doc', '--json', '1', '--retain', '--if', 'none')
    expect((await get('state', 'spaces/b')).stdout).to.equal(`${created} spaces/b/doc 1\n`)
    const again = await pub('spaces/b/doc', '--json', '2', '--retain', '--if', 'none')
    expect(again.code).to.equal(1)
    expect(again.stderr).to.match(new RegExp(`^tidemark: spaces/b/doc: .*it holds ${created.replaceAll('.', '\\.')}.* \\[conflict\\]\n$`))
    const changed = await published('spaces/b/doc', '--json', '2', '--retain', '--if', created, '--id', 'change-1')
    expect(await published('spaces/b/doc', '--json', '2', '--retain', '--if', created, '--id', 'change-1'), 'a duplicate').to.equal(changed)
    expect((await pub('spaces/b/doc', '--json', '3', '--retain', '--id', 'change-1')).stderr).to.match(/\[id-reused\]\n$/)
    const snapshot = await sub('spaces/b/#', '--from', 'snapshot', '-C', '1')
    expect(snapshot.stdout).to.equal(`${changed} spaces/b/doc 2\n`)
    const deleted = await published('spaces/b/doc', '--retain')
    expect((await get('state', 'spaces/b')).stdout).to.equal('')
    expect((await get('history', 'spaces/b', '--after', changed)).stdout).to.equal(`${deleted} spaces/b/doc (deleted)\n`)
  })

  it('publishes lines of standard input in order, and pages through all of them both ways', async () => {
    const count = 2_500
    const input = Array.from({ length: count }, (_, at) => `line ${at}\n`).join('')
    const args = ['pub', 'users/alice/lines', '--stdin-lines', '--url', server.urls.mqtt, '--token', token]
    const { code, stdout, stderr } = await tidemark(args, { input })
    expect({ code, stderr }).to.deep.equal({ code: 0, stderr: '' })
    const positions = stdout.trimEnd().split('\n')
    const lines = positions.map((pos, at) => `${pos} users/alice/lines line ${at}`)
    expect(lines).to.have.length(count)
    const all = await get('history', 'users/alice', '--topic', 'lines', '--all')
    expect(all.stdout === lines.join('\n') + '\n').to.equal(true)
    const reversed = await get('history', 'users/alice', '--topic', 'lines', '--all', '--reverse')
    expect(reversed.stdout === lines.toReversed().join('\n') + '\n').to.equal(true)
    const progressed = await sub('users/alice/lines', '--from', 'earliest', '--progress', '--count', String(count))
    expect(progressed.stdout === all.stdout).to.equal(true)
    expect(progressed.stderr).to.match(/^catching up: \d+ of \d+ \(\d+ %\)\n/)
  })

  it('serves the open stream', async () => {
    const pos = await published('open/-/a/b', '-m', 'x')
    expect((await get('history', 'open/-')).stdout).to.equal(`${pos} a/b x\n`)
    expect((await sub('open/-/#', '--from', 'earliest', '-C', '1')).stdout).to.equal(`${pos} a/b x\n`)
  })

  const refusals: readonly [string, () => Promise<Run>, RegExp][] = [
    ['a topic without grant', () => pub('users/bob/x', '-m', 'x'), /^tidemark: users\/bob\/x: .*\[forbidden\]\n$/],
    ['a topic that is none', () => pub('users/alice/$x', '-m', 'x'), /\[bad-topic\]\n$/],
    ['a bad entry id', () => pub('users/alice/x', '-m', 'x', '--id', 'a b'), /.+/],
    ['a filter without grant', () => sub('users/bob/#'), /^tidemark: the server refuses sync\/users\/bob\/#: /],
    ['a position of another history', () => sub('users/alice/#', '--from', 'abcdefgh.1.abcd'), /^tidemark: reset \(epoch\): .*begins at /],
    ['a history without grant', () => get('history', 'users/bob'), /^tidemark: .+\n$/],
    ['a stream that is none', () => get('history', 'users/alice/x'), /two levels/],
    [
      'a position of another history over HTTP',
      () => get('history', 'users/alice', '--after', 'abcdefgh.1.abcd'),
      /\(first .*, head .*\)\n$/,
    ],
    ['a bad token', () => inProcess(['pub', 'users/a/b', '-m', 'x', '--url', server.urls.mqtt, '--token', 'x']), /refuses the token/],
    ['a bad token over HTTP', () => inProcess(['history', 'users/a', '--url', server.urls.http, '--token', 'x']), /^tidemark: .*\n$/],
    [
      'a server that is not there',
      () => inProcess(['pub', 'users/a/b', '-m', 'x', '--url', 'mqtt://127.0.0.1:9', '--token', 'x']),
      /cannot be reached: nothing listens at 127\.0\.0\.1:9; start the server/,
    ],
    [
      'one over HTTP',
      () => inProcess(['state', 'users/a', '--url', 'http://127.0.0.1:2', '--token', 'x']),
      /cannot be reached: nothing listens at 127\.0\.0\.1:2; start the server/,
    ],
    [
      'the port of HTTP for MQTT',
      () => inProcess(['pub', 'users/a/b', '-m', 'x', '--url', `mqtt://127.0.0.1:${server.ports.http}`, '--token', 'x']),
      /in another protocol .*; look whether this is the port of something else, of HTTP for example\n$/,
    ],
    [
      'the port of MQTT for HTTP',
      () => inProcess(['history', 'users/a', '--url', `http://127.0.0.1:${server.ports.mqtt}`, '--token', 'x']),
      /in another protocol .*; look whether this is the port of something else, of MQTT for example\n$/,
    ],
    [
      'a folder without key',
      () => inProcess(['state', 'users/a', '--url', server.urls.http, '--data', '/nowhere']),
      /no development key in \/nowhere/,
    ],
  ]
  for (const [what, run, sentence] of refusals) {
    it(`ends with one sentence for ${what}`, async () => {
      const { code, stdout, stderr } = await run()
      expect(stderr)
        .to.match(sentence)
        .and.match(/^tidemark: [^\n]*\n$/)
      expect(stdout).to.equal('')
      expect(code).to.be.oneOf([1, 2])
    })
  }
})

describe('clients beside a server that comes and goes', function () {
  this.timeout(120_000)
  let server: ChildServer
  let cwd: string

  beforeEach(async () => {
    cwd = await tempFolder()
    server = await childServer({ folder: join(cwd, 'data') })
  })
  afterEach(() => server.kill('SIGKILL'))

  const env = (): Record<string, string> => ({
    TIDEMARK_MQTT_PORT: String(server.ports.mqtt),
    TIDEMARK_HTTP_PORT: String(server.ports.http),
  })

  it('need no token in the folder of a development server', async () => {
    const options = { cwd, env: env() }
    const { stdout } = await tidemark(['pub', 'users/dev/x', '-m', 'hello'], options)
    expect(stdout.trimEnd()).to.match(position)
    expect((await tidemark(['history', 'users/dev'], options)).stdout).to.equal(`${stdout.trimEnd()} users/dev/x hello\n`)
    expect((await tidemark(['history', 'users/eve', '--user', 'eve'], options)).code).to.equal(0)
  })

  it('follow on from the last position after SIGKILL, and from the file after their own end', async () => {
    const options = { cwd, env: env() }
    const publish = async (text: string): Promise<string> => (await tidemark(['pub', 'users/dev/x', '-m', text], options)).stdout.trimEnd()
    const first = await publish('one')
    const args = ['sub', 'users/dev/#', '--from', 'earliest', '--resume', 'place', '--count', '3']
    const child = spawn(process.execPath, [await compiledProgram(), ...args], {
      cwd,
      env: { ...cleanEnvironment(), ...env() },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let stdout = ''
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    const ended = once(child, 'close')
    while (!stdout.includes('one')) await once(child.stdout, 'data')
    await server.kill('SIGKILL')
    await server.start()
    const second = await publish('two')
    const third = await publish('three')
    await ended
    expect(stdout).to.equal(`${first} users/dev/x one\n${second} users/dev/x two\n${third} users/dev/x three\n`)
    expect(stderr).to.include(`the connection is lost; going on from ${first}`)
    expect(readFileSync(join(cwd, 'place'), 'utf8')).to.equal(`${third}\n`)
    const fourth = await publish('four')
    const resumed = await tidemark(['sub', 'users/dev/#', '--resume', 'place', '--count', '1'], options)
    expect(resumed.stdout).to.equal(`${fourth} users/dev/x four\n`)
  })

  it('trim only while no server runs, and say what is left', async () => {
    const options = { cwd, env: env() }
    const input = Array.from({ length: 20 }, (_, at) => `${at}\n`).join('')
    const positions = (await tidemark(['pub', 'users/dev/x', '--stdin-lines'], { ...options, input })).stdout.trimEnd().split('\n')
    const [, , old, , , first] = positions as [string, string, string, string, string, string]
    const trim = (...args: string[]): Promise<Run> => tidemark(['trim', ...args], { cwd })
    const busy = await trim('users/dev', '--before', first)
    expect(busy).to.include({ code: 1, stdout: '' })
    expect(busy.stderr).to.match(/^tidemark: .*in use by another process.*\n$/)
    await server.kill('SIGTERM')
    expect(await trim('users/dev', '--before', first)).to.deep.equal({ code: 0, stdout: `users/dev begins at ${first}\n`, stderr: '' })
    expect((await trim('users/dev', '--before', '3')).stdout, 'what is gone stays gone').to.equal(`users/dev begins at ${first}\n`)
    expect((await trim('users/dev', '--before', '99')).stderr).to.match(/^tidemark: users\/dev ends at 20: /)
    expect((await trim('users/dev', '--before', 'abcdefgh.1.abcd')).stderr).to.match(/\(epoch\)/)
    expect((await trim('users/nobody', '--before', '1')).stderr).to.equal('tidemark: users/nobody has no entries\n')
    expect((await trim('users/dev', '--before', '1', '--data', 'elsewhere')).stderr).to.match(/there is no store in elsewhere/)
    await server.start()
    const after = await tidemark(['sub', 'users/dev/#', '--from', old], options)
    expect(after.code).to.equal(1)
    expect(after.stderr).to.equal(
      `tidemark: reset (trimmed): entries after this position have been removed: the stream begins at ${first} and ends at ${positions[19]}\n`,
    )
    const left = await tidemark(['history', 'users/dev'], options)
    expect(left.stdout.split('\n')[0]).to.equal(`${first} users/dev/x 5`)
    writeFileSync(join(cwd, 'place'), 'nonsense\n')
    expect((await tidemark(['sub', 'users/dev/#', '--resume', 'place'], options)).stderr).to.match(
      /^tidemark: "nonsense" is not a position/,
    )
  })
})
