/** One line on stderr that says how far catching up has come. */
import { parsePosition } from '../protocol/positions.ts'

const intervalMs = 200

export class Progress {
  readonly #out: NodeJS.WriteStream
  #headSeq = 0
  #seq = 0
  #behind = false
  #shown = false
  #nextMs = 0

  constructor(out: NodeJS.WriteStream = process.stderr) {
    this.#out = out
  }

  /** An entry came. */
  seen(pos: string): void {
    if (!this.#behind) return
    this.#seq = parsePosition(pos).seq
    if (Date.now() >= this.#nextMs) this.#show()
  }

  /** The server said how far it is. */
  at(pos: string, head: string): void {
    this.#seq = parsePosition(pos).seq
    this.#headSeq = parsePosition(head).seq
    if (pos !== head) {
      this.#behind = true
      this.#show()
    } else if (this.#behind) {
      this.#behind = false
      this.clear()
      this.#out.write(`caught up at ${pos}\n`)
    }
  }

  /** Takes the line away, so that something else can be written. */
  clear(): void {
    if (this.#shown && this.#out.isTTY) this.#out.write('\r\u001b[K')
    this.#shown = false
  }

  #show(): void {
    this.#nextMs = Date.now() + intervalMs
    const percent = this.#headSeq === 0 ? 100 : Math.floor((100 * this.#seq) / this.#headSeq)
    const line = `catching up: ${this.#seq} of ${this.#headSeq} (${percent} %)`
    this.clear()
    this.#out.write(this.#out.isTTY ? line : `${line}\n`)
    this.#shown = true
  }
}
