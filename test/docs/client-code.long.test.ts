/** The code in docs/CLIENT.md compiles as it stands, and its back end and its server fit together. */
import { expect } from 'chai'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import ts from 'typescript'
import { connect } from '../../client/index.ts'
import { read, root } from '../support/source-files.ts'
import { testServer } from '../support/server.ts'

interface Block {
  readonly language: string
  readonly text: string
}

const blocks: readonly Block[] = [...read('docs/CLIENT.md').matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language, text]) => ({
  language: language as string,
  text: text as string,
}))

/** What the text around the blocks speaks of. */
const surroundings = `
declare const myApp: { token(): Promise<string> }
declare function render(entries: readonly import('tidemark/client').Entry[]): void
declare function show(entry: import('tidemark/client').Entry): void
declare let savedPosition: string
declare const passphrase: string, salt: Uint8Array, url: string, getToken: () => Promise<string>
`

describe('the code in docs/CLIENT.md', function () {
  this.timeout(120_000)

  it('compiles', () => {
    const code = blocks.filter(({ language }) => ['js', 'ts', 'tsx'].includes(language))
    expect(code).to.have.length.at.least(5)
    expect(complaintsAbout(code.map(({ text }) => text))).to.deep.equal([])
    expect(complaintsAbout(["import { connect } from 'tidemark/client'\nconnect({ url: 1, getToken: () => '' })"])).to.have.length(1)
  })

  it('signs a token that its configuration admits, to the page that it names', async () => {
    const [settings] = blocks.filter(({ language }) => language === 'json').map(({ text }) => JSON.parse(text) as Settings)
    const [backEnd] = blocks.filter(({ text }) => text.includes('SignJWT'))
    const { issuers, corsOrigins } = settings as Settings
    const source = (backEnd as Block).text
      .replace("'jose'", JSON.stringify(pathToFileURL(createRequire(join(root, 'package.json')).resolve('jose')).href))
      .replace('process.env.APP_SECRET', JSON.stringify(issuers[0].secret))
    const { tokenOf } = (await import(`data:text/javascript,${encodeURIComponent(source)}`)) as BackEnd
    const server = await testServer({ settings: { issuers: [...issuers], corsOrigins: [...corsOrigins] } })
    const token = await tokenOf('alice', { 'board-7': 'write' })
    const client = connect({ url: server.urls.http, getToken: () => token })
    try {
      const asked = { headers: { authorization: `Bearer ${token}`, origin: corsOrigins[0] } }
      const answer = await fetch(`${server.urls.http}/v1/streams/users/alice/entries`, asked)
      expect([answer.status, answer.headers.get('access-control-allow-origin')]).to.deep.equal([200, corsOrigins[0]])
      const refused = await fetch(`${server.urls.http}/v1/streams/users/bob/entries`, asked)
      expect(refused.status).to.equal(403)
      await client.stream('spaces/board-7').publish('cards/12', { title: 'Ship it' }, { retain: true, if: 'none' })
      await client.stream('users/alice').publish('notes/1', 'hello')
    } finally {
      await client.close()
      await server.stop()
    }
  })
})

interface Settings {
  readonly issuers: readonly [{ readonly issuer: string; readonly algorithms: 'HS256'[]; readonly secret: string }]
  readonly corsOrigins: readonly [string]
}

interface BackEnd {
  readonly tokenOf: (user: string, spaces: Readonly<Record<string, string>>) => Promise<string>
}

/** Each text is a module of its own; what one takes from the first it imports by itself or finds declared. */
function complaintsAbout(texts: readonly string[]): string[] {
  const files = new Map(texts.map((text, at) => [join(root, 'test', 'docs', `block-${at}.tsx`), moduleOf(text)]))
  const options: ts.CompilerOptions = {
    strict: true,
    // The blocks are JavaScript, whose parameters have no types.
    noImplicitAny: false,
    skipLibCheck: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    lib: ['lib.es2023.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
    types: ['node'],
    jsx: ts.JsxEmit.ReactJSX,
    allowImportingTsExtensions: true,
    customConditions: ['tidemark-source'],
  }
  const disk = ts.createCompilerHost(options)
  const host: ts.CompilerHost = {
    ...disk,
    fileExists: (path) => files.has(path) || disk.fileExists(path),
    readFile: (path) => files.get(path) ?? disk.readFile(path),
    getSourceFile(path, how, ...rest) {
      const text = files.get(path)
      return text === undefined ? disk.getSourceFile(path, how, ...rest) : ts.createSourceFile(path, text, how)
    },
  }
  const program = ts.createProgram([...files.keys()], options, host)
  return [...files.keys()].flatMap((path) =>
    ts.getPreEmitDiagnostics(program, program.getSourceFile(path)).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n')),
  )
}

function moduleOf(text: string): string {
  const missing = [
    /\bconnect\(/.test(text) && !text.includes('import { connect }') ? "import { connect } from 'tidemark/client'" : '',
    /\bclient\b/.test(text) && !text.includes('const client =') ? "declare const client: import('tidemark/client').Client" : '',
    /\bboard\b/.test(text) && !text.includes('const board =') ? "declare const board: import('tidemark/client').Stream" : '',
  ]
  return [...missing, surroundings, text, 'export {}'].join('\n')
}
