/** AWS's own client of AWS IoT Core for Node, installed apart from the repository, where it stays: it is native, and no dependency of anything here. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from '../source-files.ts'

const version = '1.28.0'
const folder = join(root, '.cache', `aws-iot-device-sdk-v2-${version}`)

/** Where a script finds it: for `NODE_PATH`. */
export const deviceSdkModules = join(folder, 'node_modules')

/** Installs it; returns what was in the way. Its binaries are in the package: nothing of it runs at that. */
export async function installDeviceSdk(): Promise<string | undefined> {
  if (existsSync(join(folder, 'installed'))) return undefined
  try {
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, 'package.json'), '{"private":true}')
    const words = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--save-exact', `aws-iot-device-sdk-v2@${version}`]
    await promisify(execFile)('npm', words, { cwd: folder })
    await writeFile(join(folder, 'installed'), '')
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message.split('\n', 1).join() : String(error)
  }
}
