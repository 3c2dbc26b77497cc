/** Programs of Python's, each in a virtual environment of its own that stays. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { skipLoudly } from './skipping.ts'
import { root } from './source-files.ts'

const run = promisify(execFile)

export interface PythonPackage {
  readonly name: string
  readonly version: string
  /** What it is installed with beside the least. */
  readonly extra?: string
}

export const cfnLint: PythonPackage = { name: 'cfn-lint', version: '1.58.0' }
export const pythonHcl2: PythonPackage = { name: 'python-hcl2', version: '8.1.4' }
export const moto: PythonPackage = { name: 'moto', version: '5.2.5', extra: 'server' }
export const awsIotSdk: PythonPackage = { name: 'awsiotsdk', version: '1.31.0' }
export const botocore: PythonPackage = { name: 'botocore', version: '1.44.5' }

/** Where a program of the package is, `python` among them. */
export function programOf({ name, version }: PythonPackage, program: string): string {
  return join(root, '.cache', `${name}-${version}`, 'bin', program)
}

/** Installs it; returns what was in the way. */
export async function install(wanted: PythonPackage): Promise<string | undefined> {
  const { name, version, extra } = wanted
  const python = programOf(wanted, 'python')
  try {
    if (!existsSync(python)) await run('python3', ['-m', 'venv', join(python, '../..')])
    const asks = `import importlib.metadata; print(importlib.metadata.version('${name}'))`
    const found = await run(python, ['-c', asks]).catch(() => ({ stdout: '' }))
    if (found.stdout.trim() === version) return undefined
    const requirement = `${name}${extra === undefined ? '' : `[${extra}]`}==${version}`
    await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', requirement])
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message.split('\n', 1).join() : String(error)
  }
}

/** Skips where a package cannot be had, and says so; where nothing may be skipped it fails. */
export async function needs(test: Mocha.Context, ...packages: readonly PythonPackage[]): Promise<void> {
  for (const wanted of packages) {
    const problem = await install(wanted)
    if (problem !== undefined) skipLoudly(test, `${wanted.name} cannot be installed: ${problem}`)
  }
}
