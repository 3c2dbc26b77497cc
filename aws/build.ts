/** Packs the custom authorizer into one file. Run as a program it writes `dist/aws/authorizer.mjs`. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const folder = fileURLToPath(new URL('.', import.meta.url))

export async function buildAuthorizer(): Promise<Uint8Array> {
  const { outputFiles } = await build({
    entryPoints: ['authorizer.ts'],
    absWorkingDir: folder,
    outfile: 'authorizer.mjs',
    bundle: true,
    format: 'esm',
    platform: 'node',
    // The oldest that Lambda still takes.
    target: 'node20',
    minify: true,
    legalComments: 'none',
    write: false,
    logLevel: 'silent',
  })
  const [file] = outputFiles
  if (!file) throw new Error('esbuild made no file')
  return file.contents
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const target = join(folder, '../dist/aws')
  await mkdir(target, { recursive: true })
  await writeFile(join(target, 'authorizer.mjs'), await buildAuthorizer())
}
