/** The breaker as the tests run it: a process of its own, with short rounds. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tempFolder } from '../support/temp.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
/** Of faults in a round; a round takes three times as long. */
const round = 0.15

export async function chaos(args: readonly string[]): Promise<{ readonly code: number | null; readonly output: string }> {
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
