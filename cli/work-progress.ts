/** How far a long work has come: one line on stderr, written again on a terminal, seldom where nobody watches. */
const terminalMs = 200
const elsewhereMs = 10_000

export class WorkProgress {
  readonly #out: NodeJS.WriteStream
  readonly #intervalMs: number
  #nextMs: number
  #shown = false

  constructor(out: NodeJS.WriteStream = process.stderr) {
    this.#out = out
    this.#intervalMs = out.isTTY ? terminalMs : elsewhereMs
    this.#nextMs = performance.now() + this.#intervalMs
  }

  at(what: string, counts: object): void {
    if (performance.now() < this.#nextMs) return
    this.#nextMs = performance.now() + this.#intervalMs
    this.clear()
    this.#out.write(`${what}: ${countsLine(counts)}${this.#out.isTTY ? '' : '\n'}`)
    this.#shown = true
  }

  /** Takes the line away, so that something else can be written. */
  clear(): void {
    if (this.#shown && this.#out.isTTY) this.#out.write('\r\u001b[K')
    this.#shown = false
  }
}

/** `12 streams, 3,400 entries, 7 documents, 1.5 MB`, of whatever is counted. */
export function countsLine(counts: object): string {
  return Object.entries(counts)
    .map(([name, count]) => (name === 'bytes' ? `${(Number(count) / 1e6).toFixed(1)} MB` : `${Number(count).toLocaleString('en')} ${name}`))
    .join(', ')
}
