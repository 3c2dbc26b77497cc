/** A page's files, bundled when the example starts. */
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

export interface ServedFile {
  readonly type: string
  readonly content: Uint8Array
}

/** By path: `index.html` as `/`, `page.ts` and all that it loads as scripts, and the style sheets of the folder. */
export async function bundled(folder: URL): Promise<ReadonlyMap<string, ServedFile>> {
  const { outputFiles } = await build({
    entryPoints: ['page.ts'],
    absWorkingDir: fileURLToPath(folder),
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
  const text = async (path: string, name: string, type: string): Promise<[string, ServedFile]> => [
    path,
    { type: `${type}; charset=utf-8`, content: await readFile(new URL(name, folder)) },
  ]
  const sheets = (await readdir(folder)).filter((name) => name.endsWith('.css'))
  const texts = [text('/', 'index.html', 'text/html'), ...sheets.map((name) => text(`/${name}`, name, 'text/css'))]
  return new Map([...scripts, ...(await Promise.all(texts))])
}
