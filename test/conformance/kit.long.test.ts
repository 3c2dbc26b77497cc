/** `tidemark conformance` as its users run it: on this server, on another broker, and on what is no server at all. */
import { expect } from 'chai'
import { once } from 'node:events'
import { createServer as createHttp } from 'node:http'
import { createServer as createTcp, type AddressInfo, type Server } from 'node:net'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findMosquitto, startMosquitto } from '../../bench/brokers/mosquitto.ts'
import { onlyAws } from '../../conformance/differences.ts'
import type { Result } from '../../conformance/run.ts'
import { inProcess, type Run } from '../cli/run.ts'
import { compiledProgram } from '../support/program.ts'
import { childServer, freePorts, testServer, type ChildServer, type TestServer } from '../support/server.ts'
import { skipLoudly } from '../support/skipping.ts'
import { tempFolder } from '../support/temp.ts'

interface Report {
  readonly root: string
  readonly counts: Readonly<Record<string, number>>
  readonly results: readonly Result[]
}

/** Its beginning; three letters of it alone stand in many a random id. */
const aToken = /eyJ[\w-]{24}/

describe('tidemark conformance', function () {
  this.timeout(600_000)
  const closing: (() => unknown)[] = []

  afterEach(async () => {
    for (const close of closing.splice(0)) await close()
  })

  describe('on this server, a process with the embedded store', () => {
    let server: ChildServer
    let folder: string
    before(async () => {
      server = await childServer()
      folder = await tempFolder()
      const spaces = { team: 'write' } as const
      for (const name of ['conformance', 'alice', 'bob', 'stranger'])
        await writeFile(join(folder, name), await server.token(name, { spaces }))
      await writeFile(join(folder, 'alice-granted'), await server.token('alice', { grants: ['subscribe:users/stranger/#'] }))
    })
    after(() => server.kill())

    const judge = (...args: string[]): Promise<Run> =>
      inProcess(['conformance', server.urls.http, '--token-command', `cat ${folder}/{user}`, '--timeout', '20', ...args])

    it('finds that everything holds, and leaves nothing behind but entries', async () => {
      const shortToken = `${process.execPath} ${await compiledProgram()} token {user} --data ${server.folder} --ttl 10s`
      const given = ['--user', 'alice', '--as', 'bob', '--space', 'team', '--short-token-command', shortToken]
      const { code, stdout, stderr } = await judge(...given, '--json')
      const { results, counts, root } = JSON.parse(stdout) as Report
      expect(failures(results)).to.deep.equal([])
      expect(aToken.exec(stdout)?.[0], 'a token').to.equal(undefined)
      expect({ code, stderr }).to.deep.equal({ code: 0, stderr: '' })
      const aws = results.filter(({ evidence }) => evidence === onlyAws['self-hosted'])
      expect(aws.every(({ verdict }) => verdict === 'not applicable')).to.equal(true)
      const others = results.filter((result) => result.verdict !== 'passed' && !aws.includes(result))
      expect(others.map(({ clauses, verdict }) => `${clauses[0]} ${verdict}`)).to.deep.equal(['P-1.25 not applicable', 'P-2.12 not tried'])
      expect(counts).to.include({ failed: 0, 'not applicable': 1 + aws.length, 'not tried': 1 })
      const held = new Set(results.flatMap(({ verdict, clauses }) => (verdict === 'passed' ? clauses : [])))
      expect(held.size).to.be.at.least(150)

      const headers = { authorization: `Bearer ${await server.token('alice', { spaces: { team: 'write' } })}` }
      const ask = async (path: string): Promise<Record<string, unknown[]>> =>
        (await (await fetch(`${server.urls.http}${path}`, { headers })).json()) as Record<string, unknown[]>
      for (const stream of ['users/alice', 'spaces/team'])
        expect((await ask(`/v1/streams/${stream}/state`))['entries'], stream).to.deep.equal([])
      const sessions = (await ask('/v1/sessions'))['sessions'] as { client: string; kept: boolean }[]
      expect(sessions.filter(({ kept }) => kept)).to.deep.equal([])
      const first = (await ask('/v1/streams/users/alice/entries?limit=5'))['entries'] as { topic: string }[]
      for (const { topic } of first) expect(topic).to.match(new RegExp(`^users/alice/${root}/`))
    })

    it('shows rows with clause, result and evidence, and no token', async () => {
      const { code, stdout } = await judge('--only', 'P-4.2', '--only', 'P-10.24')
      expect(code, stdout).to.equal(0)
      expect(stdout).to.match(/^P-4\.2 +passed +a PUBACK means .*\(P-8\.1, P-8\.2\)\n +three times PUBACK, then the entry in the history$/m)
      expect(stdout).to.match(/^P-10\.24 +– .*\n +it needs a second user \(--as\)$/m)
      expect(stdout).to.match(/\d+ passed, 0 failed, 0 not applicable \(n\/a\), 1 not tried \(–\); \d+ clauses hold\.$/m)
      expect(stdout).not.to.match(aToken)
    })

    it('goes by the door that it is told', async () => {
      const overWebSocket = JSON.parse((await judge('--door', 'ws', '--only', 'P-4', '--json')).stdout) as Report
      expect(failures(overWebSocket.results)).to.deep.equal([])
      expect(overWebSocket.counts['passed']).to.be.at.least(25)
      const overHttp = JSON.parse((await judge('--door', 'http', '--only', 'P-11.1', '--only', 'P-6', '--json')).stdout) as Report
      expect(overHttp.results.map(({ clauses, verdict }) => [clauses[0], verdict])).to.deep.equal([['P-11.1', 'passed']])
    })

    it('says on which engine a clause does not hold, and why', async () => {
      const { code, stdout } = await judge('--only', 'P-20.2')
      expect(code).to.equal(0)
      expect(stdout).to.match(/^P-20\.2 +n\/a .*\n +the server carries its connections itself here/m)
    })

    it('fails with exit code 1 and shows what came back', async () => {
      const { code, stdout, stderr } = await inProcess([
        'conformance',
        server.urls.http,
        '--token-command',
        `test {user} = alice && cat ${folder}/alice-granted || cat ${folder}/{user}`,
        '--user',
        'alice',
        '--as',
        'stranger',
        '--only',
        'P-4.9',
        '--timeout',
        '20',
      ])
      expect(code, stdout).to.equal(1)
      expect(stderr).to.equal('tidemark: 1 of 1 checks failed\n')
      expect(stdout).to.match(
        /^P-4\.9 +FAILED .*\n +SUBACK of users\/stranger\/#: expected \[128\], got \[1\]\n(?: +alice .*\n)* +alice → SUBSCRIBE users\/stranger\/#\n +alice ← SUBACK 1$/m,
      )
    })

    it('ends with exit code 2 and a sentence where nothing can be tried', async () => {
      const refuses = async (sentence: RegExp, ...args: string[]): Promise<void> => {
        const { code, stdout, stderr } = await inProcess(['conformance', '--timeout', '5', ...args])
        expect({ code, stdout }, stderr).to.deep.equal({ code: 2, stdout: '' })
        expect(stderr).to.match(sentence)
        expect(stderr.trim().split('\n')).to.have.length(1)
      }
      const { http, mqtt } = server.urls
      const [free] = await freePorts(1)
      const echo = ['--token-command', 'echo nonsense']
      await refuses(/^tidemark: the server refuses the token of conformance: /, http, ...echo)
      await refuses(/^tidemark: mqtt:\S+ refuses the token of conformance: CONNACK 4$/m, mqtt, ...echo)
      await refuses(/cannot be reached: .*ECONNREFUSED/, `http://127.0.0.1:${free}`, ...echo)
      await refuses(/cannot be reached: .*ECONNREFUSED/, `mqtt://127.0.0.1:${free}`, ...echo)
      await refuses(
        /the token command brings no token for conformance \(exit code 3\): no key$/m,
        http,
        '--token-command',
        'echo no key >&2; exit 3',
      )
      await refuses(/brings no token for conformance: it prints nothing$/m, http, '--token-command', 'true')
      await refuses(/no check is about P-99$/m, http, ...echo, '--only', 'P-99')
      await refuses(/--as needs a --token-command with \{user\} in it/, http, ...echo, '--as', 'bob')
      await refuses(/is no URL of the kind/, 'ftp://example.com', ...echo)
      await refuses(/has letters, digits/, http, ...echo, '--user', 'a; rm')
      await refuses(/--door/, http, ...echo, '--door', 'window')
      const page = createHttp((_asked, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'))
      await refuses(/answers 200 with text\/html where the protocol has JSON/, `http://127.0.0.1:${await opened(page)}`, ...echo)
      await refuses(
        /does not speak MQTT 3\.1\.1/,
        `mqtt://127.0.0.1:${await opened(createTcp((socket) => void socket.end('hello\r\n')))}`,
        ...echo,
      )
      await refuses(
        /does not speak MQTT 3\.1\.1: CONNACK did not come within 5 s/,
        `mqtt://127.0.0.1:${await opened(createTcp(() => {}))}`,
        ...echo,
      )
    })
  })

  it('tries what holds where open is on', async () => {
    const server: TestServer = await testServer({ settings: { open: true } })
    closing.push(() => server.stop())
    const token = await server.token('alice')
    const { code, stdout } = await inProcess([
      'conformance',
      server.urls.http,
      '--token-command',
      `echo ${token}`,
      '--only',
      'P-1',
      '--timeout',
      '20',
    ])
    expect(code, stdout).to.equal(0)
    expect(stdout).to.match(/^P-1\.24 +n\/a .*\n +open is on here$/m)
    expect(stdout).to.match(/^P-1\.25 +passed/m)
  })

  it('tells what another broker does not promise, without a crash', async function () {
    const binary = findMosquitto()
    if (binary === undefined) skipLoudly(this, 'mosquitto is missing here (apt-get install mosquitto)')
    const mosquitto = await startMosquitto({ binary, folder: join(await tempFolder(), 'mosquitto'), settings: [] })
    closing.push(() => mosquitto.stop())
    const { code, stdout, stderr } = await inProcess([
      'conformance',
      mosquitto.mqttUrl,
      '--token-command',
      'echo any-password',
      '--timeout',
      '2',
      '--parallel',
      '20',
      '--json',
    ])
    expect(code, stderr).to.equal(1)
    expect(stderr).to.match(/^tidemark: \d+ of \d+ checks failed\n$/)
    const { results } = JSON.parse(stdout) as Report
    const verdicts = (clause: string): string[] => results.filter(({ clauses }) => clauses[0] === clause).map(({ verdict }) => verdict)
    // What every broker of MQTT 3.1.1 does.
    for (const clause of ['P-4.1', 'P-4.14', 'P-4.26', 'P-7.13', 'P-7.18']) expect(verdicts(clause), clause).to.deep.equal(['passed'])
    for (const clause of ['P-4.7', 'P-4.9', 'P-5.15', 'P-5.17', 'P-6.1', 'P-6.19', 'P-7.16', 'P-9.13'])
      expect(verdicts(clause), clause).to.include('failed')
    for (const clause of ['P-4.2', 'P-11.1', 'P-18.1']) expect(verdicts(clause), clause).to.deep.equal(['not tried'])
    const evidence = results.find(({ clauses }) => clauses[0] === 'P-4.9')?.evidence
    expect(evidence).to.match(/^SUBACK of users\/stranger-\S+: expected \[128\], got \[1\]$/)
    expect(results.filter((result) => result.evidence.includes('cannot be read'))).to.deep.equal([])
  })

  async function opened(server: Server): Promise<number> {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closing.push(() => server.close())
    return (server.address() as AddressInfo).port
  }
})

function failures(results: readonly Result[]): string[] {
  return results
    .filter(({ verdict }) => verdict === 'failed')
    .map(({ clauses, title, evidence, trace }) => [`${clauses[0]} ${title}: ${evidence}`, ...trace.slice(-8)].join('\n  '))
}
