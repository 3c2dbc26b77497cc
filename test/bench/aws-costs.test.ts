/** The cost model of AWS IoT Core, by numbers that can be done in one's head. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { costOfDevice, costOfPuts } from '../../bench/aws/costs.ts'
import { countPuts } from '../../bench/aws/loads.ts'
import { startAwsRig } from '../../bench/aws/rig.ts'
import { root } from '../support/source-files.ts'
import { tempFolder } from '../support/temp.ts'

const prices = { messages: 1, connectionMinutes: 0.08, rules: 0.15, actions: 0.15, queueRequests: 0.4 }
const put = { clients: 5, bridgeOut: 3, bridgeIn: 3, onDoors: 2, taken: 1 } as const

describe('what AWS IoT Core costs', function () {
  this.timeout(60_000)

  it('[P-20.8] of a million puts: each message taken in, delivered or acknowledged', () => {
    expect(costOfPuts(put, 'mqtt', prices)).to.equal(11)
    // Nothing is delivered to the bridge; two rules, one action, one request in, and a tenth of one to receive and one to delete.
    expect(costOfPuts(put, 'sqs', prices)).to.be.closeTo(8 + 0.3 + 0.15 + 0.48, 1e-9)
    expect(costOfPuts(put, 'sqs', { ...prices, queueRequests: 4 })).to.be.closeTo(8 + 0.45 + 4.8, 1e-9)
  })

  it('[P-20.10] of a device that is connected for a month: its minutes, `at` and connections', () => {
    const hour = 3_600_000
    expect(costOfDevice({ perAt: 0, perConnection: 0 }, { atEveryMs: hour, tokenMs: hour }, prices)).to.be.closeTo(0.003504, 1e-9)
    // 730 hours: as many `at` of 2 messages, and as many connections of 4.
    expect(costOfDevice({ perAt: 2, perConnection: 4 }, { atEveryMs: hour, tokenMs: hour }, prices)).to.be.closeTo(0.003504 + 0.00438, 1e-9)
  })

  it('[P-20.7] [P-20.8] is counted: ten messages for a put that one other client reads, as docs/AWS.md says', async () => {
    const folder = await tempFolder()
    const rig = await startAwsRig(
      { rounds: 1, seconds: 1, full: false, dist: false, processes: 1, folder: (name) => `${folder}/${name}`, say() {} },
      'costs',
    )
    try {
      const counted = await countPuts(rig, 1, 20)
      expect(counted).to.deep.equal({ clients: 4, bridgeOut: 3, bridgeIn: 3, onDoors: 2, taken: 1 })
      expect(readFileSync(join(root, 'docs/AWS.md'), 'utf8')).to.include(
        `| a million puts, MQTT | $${costOfPuts(counted, 'mqtt').toFixed(2)} |`,
      )
      expect(readFileSync(join(root, 'docs/AWS.md'), 'utf8')).to.include(
        `| a million puts, rule and SQS | $${costOfPuts(counted, 'sqs').toFixed(2)} |`,
      )
    } finally {
      await rig.stop()
    }
  })
})
