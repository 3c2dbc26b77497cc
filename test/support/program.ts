/** The program that tests start as a child. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compileInto } from '../../chaos/faults/compile.ts'
import { buildConsole } from '../../console/build.ts'
import { root } from './source-files.ts'
import { tempFolder } from './temp.ts'

/** From the sources, as in a checkout; a start costs five times as much processor time as that of `compiledProgram`. */
export const sourceProgram = fileURLToPath(new URL('../../bin/tidemark.js', import.meta.url))

let compiled: Promise<string> | undefined

/** Of the sources as they are now, compiled once by each process of the tests, with the console, without the templates for AWS. */
export function compiledProgram(): Promise<string> {
  compiled ??= compile()
  return compiled
}

async function compile(): Promise<string> {
  const folder = compileInto(await tempFolder(), root)
  const pages = join(folder, 'dist/console')
  await mkdir(pages)
  for (const [name, content] of await buildConsole()) await writeFile(join(pages, name), content)
  return join(folder, 'bin/tidemark.js')
}
