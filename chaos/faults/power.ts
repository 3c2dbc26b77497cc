/** Loss of power under the embedded store: what was written to a file and not synced is gone. Names of files stay. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const source = fileURLToPath(new URL('synced.c', import.meta.url))

export class Power {
  readonly #library: string
  readonly #syncedFile: string

  /** Undefined where this machine cannot compile. */
  static prepare(folder: string): Power | undefined {
    const library = join(folder, 'synced.so')
    const { error, status } = spawnSync('gcc', ['-O2', '-fPIC', '-shared', '-o', library, source, '-ldl'])
    return error || status !== 0 ? undefined : new Power(library, join(folder, 'synced'))
  }

  private constructor(library: string, syncedFile: string) {
    this.#library = library
    this.#syncedFile = syncedFile
  }

  get environment(): Readonly<Record<string, string>> {
    return { LD_PRELOAD: this.#library, CHAOS_SYNCED_FILE: this.#syncedFile, UV_USE_IO_URING: '0' }
  }

  /** To be called before the server starts: all that is there has survived. */
  begin(folder: string): void {
    const lines = filesOf(folder).map((path) => `${statSync(path).ino} ${statSync(path).size}\n`)
    writeFileSync(this.#syncedFile, lines.join(''))
  }

  /** To be called when the server is dead. Returns how many bytes were lost. */
  lose(folder: string): number {
    const synced = new Map<number, number>()
    for (const line of readFileSync(this.#syncedFile, 'utf8').split('\n')) {
      const [inode = 0, bytes = 0] = line.split(' ').map(Number)
      synced.set(inode, Math.max(bytes, synced.get(inode) ?? 0))
    }
    let lost = 0
    for (const path of filesOf(folder)) {
      const { ino, size } = statSync(path)
      const kept = Math.min(size, synced.get(ino) ?? 0)
      lost += size - kept
      if (kept < size) truncateSync(path, kept)
    }
    return lost
  }
}

/** LOCK and LOG hold nothing that counts. */
function filesOf(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => !/^(LOCK|LOG|LOG\.old)$/.test(name))
    .map((name) => join(folder, name))
}
