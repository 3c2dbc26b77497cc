/**
 * The Duplex that aedes takes for its socket: CONNECT, SUBSCRIBE and UNSUBSCRIBE go in, their answers come out.
 * aedes removes listeners from its connection, so everything here is an overridden method.
 */
import { Duplex } from 'node:stream'

/** What stands behind the pipe. */
export interface PipeEnd {
  /** Whole packets from aedes; `written` may be called when there is room for more. */
  fromEngine(packets: Buffer, written: () => void): void
  /** aedes wants to read on. */
  engineReads(): void
  /** aedes is done with the connection, or failed. */
  engineClosed(error: Error | null): void
}

export class Pipe extends Duplex {
  readonly far: PipeEnd

  constructor(end: PipeEnd) {
    super({ readableHighWaterMark: 16_384, writableHighWaterMark: 16_384, autoDestroy: true, emitClose: true })
    this.far = end
  }

  override _read(): void {
    this.far.engineReads()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, written: () => void): void {
    this.far.fromEngine(chunk, written)
  }

  override _writev(chunks: { chunk: Buffer }[], written: () => void): void {
    this.far.fromEngine(Buffer.concat(chunks.map(({ chunk }) => chunk)), written)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.far.engineClosed(error)
    done(error)
  }
}
