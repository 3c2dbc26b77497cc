/** Faults planted into a copy of the sources, to see that they are found: the product itself has no switches. */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

interface Planting {
  readonly name: string
  readonly why: string
  readonly store: 'level' | 'mongo' | 'any'
  readonly changes: readonly { readonly file: string; readonly from: string; readonly to: string }[]
}

export const plantings: readonly Planting[] = []

const copied = [
  'bin',
  'cli',
  'auth',
  'bridge',
  'broker',
  'log',
  'protocol',
  'seams',
  'hints',
  'bench',
  'index.ts',
  'package.json',
  'tsconfig.json',
]

/** Copies the sources and changes them; throws where the text to be changed is not there any more. Returns the folder. */
export function plantInto(folder: string, root: string, name: string): string {
  const planting = plantings.find((each) => each.name === name)
  if (!planting) throw new Error(`no planted fault is called ${name}; --plant list names them`)
  mkdirSync(folder, { recursive: true })
  for (const part of copied) cpSync(join(root, part), join(folder, part), { recursive: true, force: true })
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  for (const { file, from, to } of planting.changes) {
    const path = join(folder, file)
    const text = readFileSync(path, 'utf8')
    if (text.split(from).length !== 2) throw new Error(`${name}: ${file} does not hold exactly once: ${from}`)
    writeFileSync(
      path,
      text.replace(from, () => to),
    )
  }
  return folder
}
