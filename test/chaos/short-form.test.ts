/** The breaker itself, for a short time: real servers and clients under faults, and one fault that was planted and has to be found. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { testSeed } from '../durability/support/random.ts'
import { amount } from '../support/amount.ts'
import { need } from '../support/skipping.ts'
import { tempFolder } from '../support/temp.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const minutes = amount(2, 1)
/** What is planted is looked for until it is found. */
const minutesMax = 8
/** Of faults in a round; a round takes three times as long. */
const round = 0.15
/** FerretDB is left to longer runs: where a machine is busy one round over it takes minutes. */
const stores = ['level', 'mongo-stub']

describe('the breaker', function () {
  // A run that has seen too little goes on; a machine that is busy may need that.
  this.timeout(1_200_000)

  before(function () {
    need(this, 'redis-server', 'on Debian: apt-get install redis-server')
    need(this, 'gcc', 'on Debian: apt-get install gcc libc6-dev')
  })

  it('[P-8.1] [P-8.6] [P-9.16] [P-4.17] [P-14.2] breaks no promise of one server, or of three over one database', async () => {
    const { code, output } = await chaos(['--minutes', `${minutes}`, '--store', stores.join(','), '--seed', `${testSeed('the breaker')}`])
    expect(code, output).to.equal(0)
    for (const store of stores) expect(output).to.match(new RegExp(`store ${store}, .*\n +faults: `))
  })

  it('[P-8.2] finds that publishes are acknowledged before they are on disk, where that was planted', async () => {
    const seed = `${testSeed('planted')}`
    const { code, output } = await chaos(['--minutes', `${minutesMax}`, '--seed', seed, '--plant', 'early-ack', '--until-found'])
    expect(code, output).to.equal(1)
    expect(/^BROKEN +what was acknowledged stands exactly once/m.test(output), output).to.equal(true)
  })
})

async function chaos(args: readonly string[]): Promise<{ readonly code: number | null; readonly output: string }> {
  const words = ['--import', 'tsx', join(root, 'chaos/run.ts'), '--round', `${round}`, ...args]
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, TMPDIR: await tempFolder() } })
  const end = (): void => void child.kill('SIGTERM')
  process.once('exit', end)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  const [code] = (await once(child, 'close')) as [number | null]
  process.off('exit', end)
  const last =
    output
      .trimEnd()
      .split('\n')
      .findLast((line) => line.startsWith('chaos: ')) ?? ''
  process.stdout.write(`      ${last}\n`)
  return { code, output }
}
