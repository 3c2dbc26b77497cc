/** An app in TypeScript that has installed the package: what its compiler says of every entry point. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'

export type Resolution = 'nodenext' | 'bundler'

/** One name of each entry point, and what it must not take. */
const program = `
import { startServer } from 'tidemark'
import { Authority } from 'tidemark/auth'
import { parsePosition } from 'tidemark/protocol'
import { connect, type Client, type Entry } from 'tidemark/client'
import { encryption } from 'tidemark/client/encryption'
import { levelOutbox } from 'tidemark/client/node'
import { useStream } from 'tidemark/client/react'

type IsAny<T> = 0 extends 1 & T ? true : false
export const any: [
  IsAny<typeof startServer>, IsAny<typeof Authority>, IsAny<typeof parsePosition>, IsAny<typeof connect>, IsAny<Client>,
  IsAny<Entry>, IsAny<typeof encryption>, IsAny<typeof levelOutbox>, IsAny<typeof useStream>,
] = [false, false, false, false, false, false, false, false, false]

const client: Client = connect({ url: 'https://sync.example.com', getToken: async () => 'token', outbox: levelOutbox('outbox') })
for await (const entry of client.stream('users/alice').entries({ from: 'earliest' })) entry.seq satisfies number
export const codec = encryption({ keys: [], topicKey: {} as CryptoKey })
export const View = () => useStream(client.stream('users/alice')).entries.length
// @ts-expect-error: an address is a text
connect({ url: 1, getToken: () => 'token' })
// @ts-expect-error: there is no such option
client.stream('users/alice').entries({ since: 'earliest' })
`

/** A folder with the tarball unpacked in `node_modules`, beside the dependencies that the checkout has. */
export function installBeside(tarball: string, folder: string, checkout: string): void {
  const target = join(folder, 'node_modules', 'tidemark')
  mkdirSync(target, { recursive: true })
  execFileSync('tar', ['-xzf', tarball, '-C', target, '--strip-components=1'])
  for (const name of readdirSync(join(checkout, 'node_modules'))) {
    if (!name.startsWith('.')) symlinkSync(join(checkout, 'node_modules', name), join(folder, 'node_modules', name))
  }
}

/** What the compiler has to say, as it prints it. */
export function complaints(folder: string, resolution: Resolution): string[] {
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  const file = join(folder, 'app.ts')
  writeFileSync(file, program)
  const isBundled = resolution === 'bundler'
  const compiled = ts.createProgram([file], {
    strict: true,
    exactOptionalPropertyTypes: true,
    // Of other packages' declarations it is not for us to judge.
    skipLibCheck: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2022,
    lib: ['lib.es2023.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
    types: ['node'],
    typeRoots: [join(folder, 'node_modules', '@types')],
    module: isBundled ? ts.ModuleKind.ESNext : ts.ModuleKind.NodeNext,
    moduleResolution: isBundled ? ts.ModuleResolutionKind.Bundler : ts.ModuleResolutionKind.NodeNext,
  })
  return ts.getPreEmitDiagnostics(compiled).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
}

/** As an ArrayBuffer of its own, which is what checkers take. */
export function bytesOf(file: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(file))
}
