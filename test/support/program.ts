/** The program that tests start as a child. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compileInto } from '../../chaos/faults/compile.ts'
import { root } from './source-files.ts'
import { tempFolder } from './temp.ts'

/** From the sources, as in a checkout; a start costs five times as much processor time as that of `compiledProgram`. */
export const sourceProgram = fileURLToPath(new URL('../../bin/tidemark.js', import.meta.url))

let compiled: Promise<string> | undefined

/** Of the sources as they are now, compiled once by each process of the tests; it has no console, and no templates for AWS. */
export function compiledProgram(): Promise<string> {
  compiled ??= (async () => join(compileInto(await tempFolder(), root), 'bin/tidemark.js'))()
  return compiled
}
