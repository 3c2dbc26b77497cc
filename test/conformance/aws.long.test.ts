/** `tidemark conformance` on a deployment whose connections AWS IoT Core carries: its stand-in here. */
import { expect } from 'chai'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { allChecks } from '../../conformance/chapters/all.ts'
import { onAws } from '../../conformance/differences.ts'
import type { Result } from '../../conformance/run.ts'
import type { Settings } from '../../cli/config.ts'
import { inProcess } from '../cli/run.ts'
import type { DeviceMessage } from '../support/aws/device-connection.ts'
import type { Switches } from '../support/aws/device-gateway.ts'
import { AwsWorld, awsCredentials } from '../support/aws/world.ts'
import { compiledProgram } from '../support/program.ts'
import { childServer, type ChildServer } from '../support/server.ts'
import { tempFolder } from '../support/temp.ts'

describe('tidemark conformance on the engine aws-iot', function () {
  this.timeout(600_000)
  let world: AwsWorld
  let server: ChildServer
  let folder: string

  async function start(settingsOf: (world: AwsWorld) => Settings): Promise<void> {
    world = await AwsWorld.start()
    const env = { AWS_ACCESS_KEY_ID: awsCredentials.accessKeyId, AWS_SECRET_ACCESS_KEY: awsCredentials.secretAccessKey }
    server = await childServer({ settings: { ...settingsOf(world), limits: { atIntervalMs: 1_000 } }, env })
    await world.bridged()
    folder = await tempFolder()
    for (const name of ['alice', 'bob']) await writeFile(join(folder, name), await server.token(name, { spaces: { team: 'write' } }))
  }
  async function stop(): Promise<void> {
    await server?.kill()
    await world?.close()
  }

  async function judged(...args: string[]): Promise<{ code: number | null; stdout: string; results: readonly Result[] }> {
    const given = ['--token-command', `cat ${folder}/{user}`, '--user', 'alice', '--json']
    const { code, stdout, stderr } = await inProcess(['conformance', server.urls.http, ...given, ...args])
    if (!stdout.startsWith('{')) throw new Error(stderr)
    return { code, stdout, results: (JSON.parse(stdout) as { results: Result[] }).results }
  }

  async function everythingHolds(): Promise<readonly Result[]> {
    const shortToken = `${process.execPath} ${await compiledProgram()} token {user} --data ${server.folder} --ttl 10s`
    const { code, stdout, results } = await judged('--timeout', '20', '--as', 'bob', '--space', 'team', '--short-token-command', shortToken)
    expect(failures(results)).to.deep.equal([])
    expect(code).to.equal(0)
    expect(/eyJ[\w-]{24}|signature=|X-Amz-Security|ASIA/.exec(stdout)?.[0], 'a token or a signature').to.equal(undefined)
    const others = results.filter(({ verdict }) => verdict !== 'passed')
    for (const { title, verdict, evidence } of others) {
      if (/open is off here|nothing was trimmed/.test(evidence)) continue
      const row = allChecks.find((check) => check.title === title)?.engines['aws-iot']
      expect([verdict, evidence], title).to.deep.equal(['not applicable', row])
    }
    const held = new Set(results.flatMap(({ verdict, clauses }) => (verdict === 'passed' ? clauses : [])))
    expect(held.size).to.be.at.least(120)
    for (const clause of ['P-20.1', 'P-20.2', 'P-20.3', 'P-20.4', 'P-20.5', 'P-20.6', 'P-20.7', 'P-20.8', 'P-20.9', 'P-20.10'])
      expect(held, clause).to.include(clause)
    return results
  }

  describe('by the custom authorizer', () => {
    before(async () => {
      await start(({ settingsWithAuthorizer }) => settingsWithAuthorizer)
      await world.installAuthorizer(server.urls.http)
    })
    after(stop)

    it('[P-10.30] [P-20.1] finds the same as by a role', async () => {
      const results = await everythingHolds()
      expect(results.find(({ clauses }) => clauses[0] === 'P-10.30')?.evidence).to.match(/^acme\.alice\.one by authorizer/)
      expect(world.sts.asked.length, 'calls of STS, for the bridge').to.be.below(20)
    })
  })

  describe('by a role', () => {
    before(() => start(({ settings }) => settings))
    after(stop)

    it('[P-20.1] learns the engine from token exchange; everything holds that the portability table does not say otherwise', async () => {
      const results = await everythingHolds()
      expect(results.find(({ clauses }) => clauses[0] === 'P-10.30')?.evidence).to.match(/^acme\.alice\.one by sigv4/)
    })

    it('[P-20.15] takes either way in which AWS denies a SUBSCRIBE', async () => {
      world.gateway.switches.denySubscribe = 'suback'
      try {
        const { results } = await judged('--timeout', '20', '--as', 'bob', '--only', 'P-1', '--only', 'P-7.2', '--only', 'P-10.32')
        expect(failures(results)).to.deep.equal([])
        expect(results.find(({ clauses }) => clauses[0] === 'P-1.30')?.evidence).to.equal('users/+/x gets 0x80')
      } finally {
        world.gateway.switches.denySubscribe = 'close'
      }
    })

    it('says in a sentence that AWS lets nobody in, and what goes by no other way', async () => {
      const refuses = async (sentence: RegExp, ...args: string[]): Promise<void> => {
        const { code, stderr } = await inProcess(['conformance', server.urls.http, '--token-command', `cat ${folder}/alice`, ...args])
        expect({ code, stderr }).to.deep.include({ code: 2 })
        expect(stderr).to.match(sentence)
      }
      await refuses(/^tidemark: AWS IoT Core carries the connections here, over WebSocket only$/m, '--door', 'tcp')
      await refuses(/^tidemark: AWS IoT Core carries the connections here: token exchange says where/m, '--mqtt-url', 'mqtt://127.0.0.1:1')
      world.sts.failures.push({ status: 403, code: 'AccessDenied' })
      await refuses(/^tidemark: http:\S+\/v1\/token cannot exchange now: "/m)
      // What STS gives out now the gateway does not know.
      world.sts.sessions.set = () => world.sts.sessions
      try {
        await refuses(/^tidemark: ws:\/\/127\.0\.0\.1:\d+ does not open the URL of token exchange: .*403$/m, '--only', 'P-20')
      } finally {
        Reflect.deleteProperty(world.sts.sessions, 'set')
      }
    })

    const untouched: Partial<Switches> = { lose: () => false, alter: (message) => message, unjudged: false }
    for (const [what, fault, fails] of [
      [
        'a bridge that does not answer',
        { lose: on(/^acme\/reply\//) },
        { 'P-20.3': /the answer to the put \S+ did not come/, 'P-5.1': /did not come/ },
      ],
      [
        'a bridge that does not relay',
        { lose: on(/^acme\/sync\//) },
        { 'P-20.2': /the envelope did not come/, 'P-20.9': /entry 1 of 30 did not come/ },
      ],
      [
        'a bridge that makes no copies',
        { lose: on(/^acme\/users\/alice\/.*\/(?:put|post)$/) },
        { 'P-20.7': /a message on \S+ did not come/ },
      ],
      [
        'a bridge that takes nothing in',
        { lose: to('svc.acme.bridge-in-') },
        { 'P-20.2': /the envelope did not come/, 'P-20.5': /from and client/ },
      ],
      [
        'a bridge that takes in what came at QoS 0',
        { alter: (message, clientId) => (clientId.startsWith('svc.acme.bridge-in-') ? { ...message, qos: 1 } : message) },
        { 'P-20.6': /the next envelope/, 'P-3.1': /what the history has/ },
      ],
      [
        'a bridge that tells other positions than the log has',
        { alter: (message) => (message.topic.startsWith('acme/sync/') ? { ...message, payload: elsewhere(message.payload) } : message) },
        { 'P-20.2': /the history when the echo came/, 'P-2.7': /the position on the sync door/ },
      ],
      [
        'an account that lets everybody do everything',
        { unjudged: true },
        {
          'P-1.30': /SUBACK of users\/#/,
          'P-4.5': /the connection was not closed|PUBACK came/,
          'P-10.32': /SUBACK of|was not closed|PUBACK came/,
          'P-14.1': /a will on .* was let in/,
        },
      ],
    ] as const satisfies readonly (readonly [string, Partial<Switches>, Readonly<Record<string, RegExp>>])[]) {
      it(`[P-20.1] finds ${what}`, async () => {
        Object.assign(world.gateway.switches, fault)
        try {
          const only = Object.keys(fails).flatMap((clause) => ['--only', clause])
          const { code, results } = await judged('--as', 'bob', '--timeout', '2', ...only)
          expect(code).to.equal(1)
          for (const [clause, reason] of Object.entries<RegExp>(fails)) {
            const found = results
              .filter(({ clauses, verdict }) => clauses[0] === clause && verdict === 'failed')
              .map(({ evidence }) => evidence)
            expect(found.join('\n'), clause).to.match(reason)
          }
        } finally {
          Object.assign(world.gateway.switches, untouched)
        }
      })
    }
  })

  it('[P-14.1] names rows that stand in the portability table', async () => {
    const protocol = await readFile(new URL('../../docs/PROTOCOL.md', import.meta.url), 'utf8')
    const table = protocol.split('### What differs between the engines')[1] ?? ''
    const rows = [...table.matchAll(/^\| ([^|]+) \|/gm)].map(([, name = '']) => name)
    for (const { 'aws-iot': reason = '' } of Object.values(onAws)) expect(rows).to.include(/^row “([^”]+)”: ./.exec(reason)?.[1])
  })
})

function on(topics: RegExp): (message: DeviceMessage) => boolean {
  return ({ topic }) => topics.test(topic)
}

function elsewhere(payload: Buffer): Buffer {
  return Buffer.from(payload.toString().replace(/("pos":"[\w-]{8}\.\d+\.)[\w-]{4}/, '$1zzzz'))
}

function to(prefix: string): (message: DeviceMessage, clientId: string) => boolean {
  return (_message, clientId) => clientId.startsWith(prefix)
}

function failures(results: readonly Result[]): string[] {
  return results
    .filter(({ verdict }) => verdict === 'failed')
    .map(({ clauses, title, evidence, trace }) => [`${clauses[0]} ${title}: ${evidence}`, ...trace.slice(-12)].join('\n  '))
}
