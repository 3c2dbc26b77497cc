/** The servers of a run start many times: their sources are compiled once, which makes each start cost a third. */
import { cpSync, mkdirSync, readdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ModuleKind, ScriptTarget, transpileModule } from 'typescript'

const parts = ['auth', 'bench', 'bridge', 'broker', 'cli', 'delivery', 'hints', 'log', 'protocol', 'seams', 'index.ts']

const compilerOptions = {
  module: ModuleKind.ESNext,
  target: ScriptTarget.ES2023,
  verbatimModuleSyntax: true,
  rewriteRelativeImportExtensions: true,
}

/** Makes a folder that `bin/tidemark.js` runs in as in a package. Types are checked elsewhere. */
export function compileInto(folder: string, sources: string): string {
  for (const part of parts) {
    const files = part.endsWith('.ts') ? [part] : readdirSync(join(sources, part), { recursive: true, encoding: 'utf8' })
    const names = part.endsWith('.ts') ? files : files.map((name) => join(part, name))
    for (const name of names.filter((each) => each.endsWith('.ts'))) {
      const target = join(folder, 'dist', name.replace(/\.ts$/, '.js'))
      mkdirSync(dirname(target), { recursive: true })
      writeFileSync(target, transpileModule(readFileSync(join(sources, name), 'utf8'), { compilerOptions, fileName: name }).outputText)
    }
  }
  cpSync(join(sources, 'bin'), join(folder, 'bin'), { recursive: true })
  cpSync(join(sources, 'package.json'), join(folder, 'package.json'))
  symlinkSync(realpathSync(join(sources, 'node_modules')), join(folder, 'node_modules'))
  return folder
}
