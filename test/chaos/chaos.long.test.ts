/** The breaker itself, for a short time: real servers and clients under faults, and one fault that was planted and has to be found. */
import { expect } from 'chai'
import { testSeed } from '../durability/support/random.ts'
import { amount } from '../support/amount.ts'
import { need } from '../support/skipping.ts'
import { chaos } from './breaker.ts'

const minutes = amount(2, 1)
const awsMinutes = amount(1, 0.4)
/** What is planted is looked for until it is found. */
const minutesMax = 8
/** FerretDB is left to longer runs: where a machine is busy one round over it takes minutes. */
const stores = ['level', 'mongo-stub']

/**
 * Which promise a planted fault shows at first is left to what meets it: withdrawals are acknowledged as publishes are, and lost as they
 * are. A run that does not come to its end has found nothing.
 */
function expectFound(code: number | null, output: string): void {
  expect(code, output).to.equal(1)
  expect(/^BROKEN +(?!the run came to its end)/m.test(output), output).to.equal(true)
}

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
    expectFound(code, output)
  })

  it('[P-20.2] [P-20.4] [P-20.14] breaks no promise where AWS IoT Core carries MQTT: puts, plain publishes, and readers of the SDK', async () => {
    const { code, output } = await chaos(['--minutes', `${awsMinutes}`, '--store', 'aws-iot', '--seed', `${testSeed('the bridge')}`])
    expect(code, output).to.equal(0)
    expect(output).to.match(/store aws-iot, .*\n +faults: /)
  })

  it('[P-20.4] finds that what AWS brings again is appended again, where that was planted', async () => {
    const seed = `${testSeed('planted behind AWS')}`
    const { code, output } = await chaos(['--minutes', `${minutesMax}`, '--seed', seed, '--plant', 'forgotten-ids', '--until-found'])
    expectFound(code, output)
  })
})
