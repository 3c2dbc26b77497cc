/** The version in package.json, which stands one folder up in a checkout and two in a build. */
import { existsSync, readFileSync } from 'node:fs'

export function packageVersion(): string {
  const beside = new URL('../package.json', import.meta.url)
  const path = existsSync(beside) ? beside : new URL('../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version
}
