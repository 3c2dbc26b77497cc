/** Folders for tests, removed when the process ends at the latest. */
import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const made = new Set<string>()

/** A new empty folder; it is removed when the process ends, or by `removeFolder` before that. */
export async function tempFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-test-'))
  if (made.size === 0) process.once('exit', removeAll)
  made.add(folder)
  return folder
}

export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true })
  made.delete(folder)
}

function removeAll(): void {
  for (const folder of made) rmSync(folder, { recursive: true, force: true })
  made.clear()
}
