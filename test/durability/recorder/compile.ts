/** Builds the preload library, where this machine can. */
import { spawnSync } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tempFolder } from '../../support/temp.ts'

const source = fileURLToPath(new URL('recorder.c', import.meta.url))

/** The path of the library. Without a compiler the running test is skipped, loudly; where CI is set it fails. */
export async function compiledRecorder(context: Mocha.Context): Promise<string> {
  const library = join(await tempFolder(), 'recorder.so')
  const { error, status, stderr } = spawnSync('gcc', ['-O2', '-fPIC', '-shared', '-o', library, source, '-ldl'], { encoding: 'utf8' })
  if (!error && status === 0) return library
  const missing = `the recorder for power loss and full disks cannot be compiled, gcc is missing or fails: ${error?.message ?? stderr}`
  if (process.env['CI']) throw new Error(missing)
  process.stderr.write(`SKIPPED: ${missing}\n`)
  return context.skip()
}

/** A data folder to be watched, the folder with the record beside it, and the environment of a program that is recorded. */
export interface Watch {
  readonly data: string
  readonly side: string
  readonly env: Readonly<Record<string, string>>
}

export async function newWatch(library: string, ackDescriptor?: number): Promise<Watch> {
  const folder = await tempFolder()
  const [data, side] = [join(folder, 'data'), join(folder, 'side')]
  await mkdir(data)
  await mkdir(side)
  // What libuv hands to io_uring does not pass through the C library.
  const env: Record<string, string> = { LD_PRELOAD: library, RECORDER_ROOT: data, RECORDER_SIDE: side, UV_USE_IO_URING: '0' }
  if (ackDescriptor !== undefined) env['RECORDER_ACK_FD'] = String(ackDescriptor)
  return { data, side, env }
}
