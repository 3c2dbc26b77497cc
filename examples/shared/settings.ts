/** What somebody who tries an example wants of its Tidemark beside what the example needs: another engine, for instance. */
import { readFile } from 'node:fs/promises'
import type { Settings } from 'tidemark'

/** From the JSON file that the variable SETTINGS names (docs/CONFIGURATION.md); nothing without one. */
export async function moreSettings(): Promise<Settings> {
  const { SETTINGS: path } = process.env
  return path ? (JSON.parse(await readFile(path, 'utf8')) as Settings) : {}
}
