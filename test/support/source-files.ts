/** The files of this repository, for tests about them. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** Made by tools, or by whoever works here. */
const foreign: ReadonlySet<string> = new Set(['node_modules', 'dist', 'data', 'coverage', '.git', '.cache'])

/** Paths below the root, with slashes, of all files with one of these endings. */
export function filesEndingIn(...endings: readonly string[]): string[] {
  return walk('').filter((path) => endings.some((ending) => path.endsWith(ending)))
}

export function read(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

/** TypeScript without its comments and texts; what is left is code, on the same lines. */
export function codeOf(source: string): string {
  const blank = (text: string): string => text.replaceAll(/[^\n]/g, ' ')
  return source.replaceAll(/\/\*[\s\S]*?\*\/|(?<![:\\])\/\/[^\n]*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g, blank)
}

/** The relative files, and the packages, that a file imports; also by `import()`, `export from` and `new URL('./x.ts', import.meta.url)`. */
export function importsOf(source: string): string[] {
  const found = source.matchAll(/(?:\bfrom|\bimport|\bimport\(|\bnew URL\()\s*'([^'\n]+)'/g)
  return [...found].map(([, specifier]) => specifier as string)
}

function walk(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (entry.isDirectory()) return foreign.has(entry.name) ? [] : walk(path)
    return entry.isFile() ? [path] : []
  })
}
