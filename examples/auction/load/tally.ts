/** The entries that one watcher was told of, by their numbers in the log. */
export class Tally {
  /** The one told last. */
  seq = 0
  doubled = 0
  #first = 0
  #skipped = 0

  took(seq: number): void {
    if (seq <= this.seq) return void this.doubled++
    if (this.#first === 0) this.#first = seq
    else this.#skipped += seq - this.seq - 1
    this.seq = seq
  }

  /** Of the entries from `from` to `to`. */
  missed(from: number, to: number): number {
    if (this.#first === 0) return to - from + 1
    return Math.max(0, this.#first - from) + this.#skipped + Math.max(0, to - this.seq)
  }
}
