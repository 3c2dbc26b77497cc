/** What the SDK adds to a page. */
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import type { Row, Shape } from './shape.ts'

const name = 'sdk-size'
const goalBytes = 14 * 1024
const root = new URL('../../', import.meta.url).pathname

export const sdkSize: Shape = { names: [name], run: async () => [await run()] }

async function run(): Promise<Row> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints: ['client/index.ts'],
    outdir: 'out',
    bundle: true,
    splitting: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    external: ['mqtt', 'idb'],
    legalComments: 'none',
    metafile: true,
    write: false,
  })
  const packed = new Map(outputFiles.map(({ path, contents }) => [path, gzipSync(contents, { level: 9 }).length]))
  const sum = (paths: readonly string[]): number => paths.reduce((bytes, path) => bytes + (packed.get(path) ?? 0), 0)
  const all = sum([...packed.keys()])
  const atFirst = sum(loadedAtFirst(metafile.outputs).map((path) => `${root}${path}`))
  const minified = outputFiles.reduce((bytes, { contents }) => bytes + contents.length, 0)
  return {
    name,
    title: 'the SDK’s own code: `tidemark/client`, bundled, minified, gzip -9, without mqtt.js and idb',
    goal: `≤ ${kilobytes(goalBytes)}`,
    measured: kilobytes(all),
    reached: all <= goalBytes,
    ours: `${kilobytes(all)}, of which a page loads ${kilobytes(atFirst)} at first; minified ${kilobytes(minified)}`,
    peer: '–',
    cpu: '–',
    faults: undefined,
    notes: [`${outputFiles.length} ${outputFiles.length === 1 ? 'file' : 'files'}; by esbuild`],
  }
}

type Outputs = Awaited<ReturnType<typeof build<{ metafile: true }>>>['metafile']['outputs']

/** The entry, and what it imports by a statement. */
function loadedAtFirst(outputs: Outputs): string[] {
  const entry = Object.keys(outputs).filter((path) => outputs[path]?.entryPoint === 'client/index.ts')
  const found = new Set(entry)
  for (const path of found)
    for (const { path: imported, kind, external } of outputs[path]?.imports ?? [])
      if (kind === 'import-statement' && external !== true) found.add(imported)
  return [...found]
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1024).toFixed(1)} KB`
}
