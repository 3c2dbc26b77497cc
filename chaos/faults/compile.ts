/** The servers of a run start many times: each program of theirs is made one file, which makes a start cost a fifth. */
import { cpSync, mkdirSync, realpathSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { buildSync } from 'esbuild'

/** What cannot stand in one file with the rest, or is for commands that nobody calls here. */
const external = ['classic-level', 'mongodb', 'ioredis', 'esbuild', 'typescript', 'mqtt', '@aws-sdk/*']
const required = "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);"

/** Makes a folder that `bin/tidemark.js` runs in as in a package. Types are checked elsewhere. */
export function compileInto(folder: string, sources: string): string {
  mkdirSync(folder, { recursive: true })
  buildSync({
    entryPoints: [join(sources, 'cli/main.ts')],
    outdir: join(folder, 'dist/cli'),
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    external,
    // What the packages require.
    banner: { js: required },
    logLevel: 'error',
  })
  cpSync(join(sources, 'bin'), join(folder, 'bin'), { recursive: true })
  cpSync(join(sources, 'package.json'), join(folder, 'package.json'))
  symlinkSync(realpathSync(join(sources, 'node_modules')), join(folder, 'node_modules'))
  return folder
}
