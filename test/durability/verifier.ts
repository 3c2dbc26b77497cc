/**
 * Verifies folders one after the other: `node verifier.ts {side folder}`; lines `{folder} {event}` in, one JSON verdict per
 * line out. With `no-repair` behind them a store that refuses to open is left as it is.
 */
import { writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { expectationAt } from './expectation.ts'
import { Recording } from './recorder/recording.ts'
import { verify } from './verify.ts'

const [side = ''] = process.argv.slice(2)
const recording = new Recording(side)
for await (const line of createInterface({ input: process.stdin })) {
  const [folder = '', at = '', repair] = line.split(' ')
  const verdict = await verify(folder, expectationAt(recording, Number(at)), { repairs: repair !== 'no-repair' })
  writeSync(1, `${JSON.stringify(verdict)}\n`)
}
