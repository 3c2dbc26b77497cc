/**
 * Where every socket of this process reads into. A read is handled to its end before the next one begins, so one
 * buffer serves them all; what a read leaves unfinished is put in front of the next one of its socket.
 */
const leftoverBytesMax = 512 * 1024
const readBytesMax = 256 * 1024

/** Where a read begins. */
export const inboxStart = leftoverBytesMax + 64
export const inbox: Buffer = Buffer.allocUnsafeSlow(inboxStart + readBytesMax)
export const inboxView = new DataView(inbox.buffer)
/** The part that sockets read into. */
export const inboxLanding: Buffer = inbox.subarray(inboxStart)

/** What one socket left unfinished. */
export class Leftover {
  #bytes = Buffer.alloc(0)
  #length = 0

  /** Puts it in front of `start`; returns where it begins. */
  restore(start: number): number {
    if (this.#length === 0) return start
    this.#bytes.copy(inbox, start - this.#length, 0, this.#length)
    return start - this.#length
  }

  keep(start: number, end: number): void {
    this.#length = end - start
    if (this.#length === 0) return
    if (this.#length > leftoverBytesMax) throw new Error(`a packet of more than ${leftoverBytesMax} bytes`)
    if (this.#bytes.length < this.#length) this.#bytes = Buffer.allocUnsafeSlow(Math.max(256, this.#length * 2))
    inbox.copy(this.#bytes, 0, start, end)
  }
}
