/** Makes the console's files of its sources. Run as a program it writes them to `dist/console`. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const folder = fileURLToPath(new URL('.', import.meta.url))

/** By name: `index.html`, and files whose names change with what is in them. */
export async function buildConsole(): Promise<Map<string, Uint8Array>> {
  const { outputFiles, metafile } = await build({
    entryPoints: ['main.ts', 'console.css', 'icon.svg'],
    absWorkingDir: folder,
    outdir: 'out',
    entryNames: '[name]-[hash]',
    chunkNames: '[name]-[hash]',
    loader: { '.svg': 'copy' },
    bundle: true,
    // mqtt.js is loaded when it is needed.
    splitting: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    legalComments: 'none',
    metafile: true,
    write: false,
    logLevel: 'silent',
  })
  const files = new Map(outputFiles.map(({ path, contents }) => [basename(path), contents]))
  const names = new Map(
    Object.entries(metafile.outputs).flatMap(([path, { entryPoint }]) => (entryPoint === undefined ? [] : [[entryPoint, basename(path)]])),
  )
  const page = await readFile(join(folder, 'index.html'), 'utf8')
  const linked = page.replaceAll(/\/console\/([\w.]+)/g, (_whole, source: string) => `/console/${names.get(source) ?? source}`)
  return files.set('index.html', new TextEncoder().encode(linked))
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const target = join(folder, '../dist/console')
  await mkdir(target, { recursive: true })
  for (const [name, bytes] of await buildConsole()) await writeFile(join(target, name), bytes)
}
