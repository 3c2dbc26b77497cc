/** The way out of a connection: what one turn has to say leaves in one system call, and unread bytes are bounded. */
import type { Duplex } from 'node:stream'
import type { Flushed } from '../delivery/turn.ts'
import { outputJoinBytesMax } from '../seams/limits.ts'
import type { Hub } from './hub.ts'

export class Output {
  readonly #hub: Hub
  readonly #wire: Duplex
  readonly #link: Flushed
  #chunks: Buffer[] = []
  #bytes = 0
  #whenRead: (() => void) | undefined = undefined

  constructor(hub: Hub, wire: Duplex, link: Flushed) {
    this.#hub = hub
    this.#wire = wire
    this.#link = link
  }

  get unsentBytes(): number {
    return this.#wire.writableLength + this.#bytes
  }

  /** Bytes that may still be handed to the socket before its peer has read. */
  get bytesLeft(): number {
    // Below its own mark the socket would not tell when it has drained.
    return Math.max(this.#hub.limits.unsentBytesMax, this.#wire.writableHighWaterMark) - this.unsentBytes
  }

  /** Gathers packets; they leave with everything else of this turn. */
  write(packets: Buffer): void {
    this.#chunks.push(packets)
    this.#bytes += packets.length
    this.#hub.turn.flush(this.#link)
  }

  flush(): void {
    const chunks = this.#chunks
    if (chunks.length === 0) return
    const bytes = this.#bytes
    this.#chunks = []
    this.#bytes = 0
    if (chunks.length === 1) {
      this.#wire.write(chunks[0])
    } else if (bytes <= outputJoinBytesMax) {
      this.#wire.write(Buffer.concat(chunks, bytes))
    } else {
      this.#wire.cork()
      for (const chunk of chunks) this.#wire.write(chunk)
      this.#wire.uncork()
    }
  }

  /** Calls back at once if there is room, otherwise when the peer has read. */
  whenRoom(callback: () => void): void {
    if (this.bytesLeft > 0) callback()
    else this.#whenRead = callback
  }

  /** The peer has read everything. */
  drained(): void {
    const callback = this.#whenRead
    this.#whenRead = undefined
    callback?.()
  }

  /**
   * Sends what was gathered and ends; resolves when the socket is closed. What the peer still sends is read and
   * dropped: closing with unread input would make the system take back what was sent. A peer that does not end is
   * cut after `lingerMs` [P-7.23].
   */
  end(): Promise<void> {
    this.flush()
    this.drained()
    const wire = this.#wire
    wire.removeAllListeners('data')
    if (wire.destroyed) return Promise.resolve()
    wire.resume()
    wire.end()
    const linger = setTimeout(() => wire.destroy(), this.#hub.limits.lingerMs)
    return new Promise((resolve) => {
      wire.once('close', () => {
        clearTimeout(linger)
        resolve()
      })
    })
  }
}
