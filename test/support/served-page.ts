/** Pages for browser tests: TypeScript of this repository, bundled on the fly, served as a careful deployment would. */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { build, type Plugin } from 'esbuild'
import { root } from './source-files.ts'

export interface PageOptions {
  /** A file below the root, or TypeScript itself; its imports are read from the root: `import { connect } from './client/index.ts'`. */
  readonly script: { readonly file: string } | { readonly code: string }
  /** What stands in `<body>`, before the script. */
  readonly body?: string
  /** Where the page may connect to, beside where it came from. Default: anywhere. */
  readonly connectTo?: string
  /** Default: a free one. */
  readonly port?: number
  /** A folder with a `node_modules` of packages that this repository does not have. */
  readonly packagesIn?: string
  /** Another release of the page: what stands in a file of it, by its path below the root. Throws where nothing is changed. */
  readonly changes?: Readonly<Record<string, (source: string) => string>>
}

export interface ServedPage {
  /** `http://127.0.0.1:{port}`: the origin to configure, and the address of the page. */
  readonly origin: string
  close(): Promise<void>
}

/** Bundles and serves; everything but the bundle's files and the page is 404. */
export async function servedPage(options: PageOptions): Promise<ServedPage> {
  const files = await bundle(options)
  const page = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Test</title><link rel="icon" href="data:,">
<body>${options.body ?? ''}<script type="module" src="/page.js"></script></body></html>`
  const server = createServer((request, response) => {
    const path = (request.url ?? '').split('?')[0] as string
    const file = files.get(path)
    if (path === '/') response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': policy(options) })
    else response.writeHead(file === undefined ? 404 : 200, { 'content-type': 'text/javascript; charset=utf-8' })
    response.end(path === '/' ? page : file)
  }).listen(options.port ?? 0, '127.0.0.1')
  await once(server, 'listening')
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

function policy({ connectTo = 'http: ws: https: wss:' }: PageOptions): string {
  return `default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self' ${connectTo}`
}

/** Path → JavaScript. What is loaded later stands in files of its own. */
async function bundle({ script, packagesIn, changes = {} }: PageOptions): Promise<Map<string, string>> {
  const entry =
    'file' in script
      ? { entryPoints: [{ in: script.file, out: 'page' }] }
      : { stdin: { contents: script.code, loader: 'ts' as const, resolveDir: root, sourcefile: 'page.ts' }, entryNames: 'page' }
  const { outputFiles } = await build({
    ...entry,
    absWorkingDir: root,
    nodePaths: packagesIn === undefined ? [] : [join(packagesIn, 'node_modules')],
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'browser',
    // `tidemark/client` from the sources.
    conditions: ['tidemark-source'],
    plugins: Object.entries(changes).map(([path, change]) => changing(path, change)),
    target: 'es2022',
    minify: false,
    write: false,
    outdir: '/',
    logLevel: 'silent',
  })
  return new Map(outputFiles.map(({ path, text }) => [path, text]))
}

function changing(path: string, change: (source: string) => string): Plugin {
  return {
    name: `another ${path}`,
    setup: (building) => {
      building.onLoad({ filter: new RegExp(`/${path.replaceAll('.', '\\.')}$`) }, async (file) => {
        const source = await readFile(file.path, 'utf8')
        const contents = change(source)
        if (contents === source) throw new Error(`${path} has nothing to be changed`)
        return { contents, loader: 'ts' }
      })
    },
  }
}
