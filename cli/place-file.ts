/** The file of `sub --resume`: the last position that was printed. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { parsePosition } from '../protocol/positions.ts'

const intervalMs = 1_000

export class PlaceFile {
  readonly #path: string
  #place: string | undefined
  #stored: string | undefined
  #nextMs = 0

  constructor(path: string) {
    this.#path = path
  }

  /** Undefined where the file does not exist yet. Throws `bad-position` where it holds none. */
  read(): string | undefined {
    if (!existsSync(this.#path)) return undefined
    this.#stored = readFileSync(this.#path, 'utf8').trim()
    parsePosition(this.#stored)
    return this.#stored
  }

  /** Written at most once a second: after a crash some entries come twice, and none is missing. */
  moved(place: string): void {
    this.#place = place
    if (Date.now() >= this.#nextMs) this.save()
  }

  save(): void {
    this.#nextMs = Date.now() + intervalMs
    if (this.#place === undefined || this.#place === this.#stored) return
    // Whole or not at all: whoever reads it later must not find half a position.
    writeFileSync(`${this.#path}.new`, `${this.#place}\n`)
    renameSync(`${this.#path}.new`, this.#path)
    this.#stored = this.#place
  }
}
