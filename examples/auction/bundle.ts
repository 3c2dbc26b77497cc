/** The page's files, bundled when the example starts. */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

export interface ServedFile {
  readonly type: string
  readonly content: Uint8Array
}

const folder = fileURLToPath(new URL('.', import.meta.url))

/** By path. */
export async function bundled(): Promise<ReadonlyMap<string, ServedFile>> {
  const { outputFiles } = await build({
    entryPoints: ['page.ts'],
    absWorkingDir: folder,
    outdir: '/',
    bundle: true,
    // mqtt.js is loaded when it is needed.
    splitting: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    conditions: ['tidemark-source'],
    write: false,
    logLevel: 'silent',
  })
  const scripts = outputFiles.map(({ path, contents }) => [path, { type: 'text/javascript; charset=utf-8', content: contents }] as const)
  const text = async (name: string, type: string): Promise<ServedFile> => ({
    type: `${type}; charset=utf-8`,
    content: await readFile(folder + name),
  })
  return new Map([...scripts, ['/', await text('index.html', 'text/html')], ['/auction.css', await text('auction.css', 'text/css')]])
}
