/** The console's files: a package holds them built; in a checkout they are made of the sources when somebody first asks. */
import { readdir, readFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { ConsoleFiles } from '../bridge/index.ts'
import type { Logger } from '../seams/logger.ts'

/** Beside `cli/`, in a checkout as in a package. */
const folder = new URL('../console/', import.meta.url)

/** Resolves with undefined where there is no console, which is said once. */
export function consoleOf(logger: Logger): () => Promise<ConsoleFiles | undefined> {
  let files: Promise<ConsoleFiles | undefined> | undefined
  return () =>
    (files ??= findFiles().catch((error: unknown) => {
      logger.warn({ error }, 'the console is not there: run `npm run build`')
      return undefined
    }))
}

async function findFiles(): Promise<ConsoleFiles> {
  const build = new URL('build.ts', folder)
  if (existsSync(build)) {
    const { buildConsole } = (await import(build.href)) as { buildConsole(): Promise<ConsoleFiles> }
    return await buildConsole()
  }
  const names = await readdir(fileURLToPath(folder))
  return new Map(await Promise.all(names.map(async (name) => [name, await readFile(new URL(name, folder))] as const)))
}
