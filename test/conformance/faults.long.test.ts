/** Every chapter's checks can fail: a server with a fault is found out, and for the right reason. */
import { expect } from 'chai'
import { allChecks } from '../../conformance/chapters/all.ts'
import { onlyAws } from '../../conformance/differences.ts'
import { runChecks, type Result } from '../../conformance/run.ts'
import { testServer, type TestServer } from '../support/server.ts'
import { crippled } from './crippled.ts'
import { cripplings } from './cripplings.ts'

describe('checks of conformance', function () {
  this.timeout(240_000)
  let server: TestServer

  before(async () => {
    server = await testServer()
    // In a checkout the console is built when somebody first asks for it.
    await fetch(server.urls.http, { headers: { accept: 'text/html' } })
  })
  after(() => server.stop())

  it('have a fault for every chapter that they look at', () => {
    // What only AWS IoT Core has is in aws.long.test.ts.
    const own = allChecks.filter(({ engines }) => engines !== onlyAws)
    const chapters = new Set(own.map(({ clauses }) => Number(/^P-(\d+)\./.exec(clauses[0] ?? '')?.[1])))
    expect([...chapters].sort((one, another) => one - another)).to.deep.equal([...new Set(cripplings.map(({ chapter }) => chapter))])
  })

  for (const { what, fault, fails, passes } of cripplings) {
    it(`[${Object.keys(fails).join(', ')}] find out a server ${what}`, async () => {
      const front = await crippled(server.ports, fault)
      try {
        const { results } = await judged(server, front, [...Object.keys(fails), ...passes])
        const told = results.map((result) => `${result.clauses[0]} ${result.verdict}: ${result.evidence}`).join('\n')
        for (const [clause, evidence] of Object.entries(fails)) {
          const failed = results.filter((result) => result.clauses[0] === clause && result.verdict === 'failed')
          expect(
            failed.some((result) => evidence.test(result.evidence)),
            `${clause} in\n${told}`,
          ).to.equal(true)
        }
        for (const clause of passes) expect(verdicts(results, clause), `${clause} in\n${told}`).to.include('passed')
      } finally {
        front.close()
      }
    })
  }
})

async function judged(
  server: TestServer,
  front: { mqtt: string; http: string },
  clauses: readonly string[],
): Promise<{ results: readonly Result[] }> {
  return await runChecks({
    http: front.http,
    tcp: front.mqtt,
    ws: undefined,
    door: undefined,
    timeoutMs: 3_000,
    parallel: 8,
    user: 'alice',
    second: 'bob',
    space: undefined,
    token: (name) => server.token(name),
    shortToken: undefined,
    told: () => {},
    checks: allChecks.filter((check) => clauses.includes(check.clauses[0] ?? '')),
  })
}

function verdicts(results: readonly Result[], clause: string): string[] {
  return results.filter((result) => result.clauses[0] === clause).map(({ verdict }) => verdict)
}
