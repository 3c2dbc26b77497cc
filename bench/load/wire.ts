/** A raw MQTT connection over TCP or WebSocket: packets are made in one buffer and parsed where they arrive. */
import { connect, type Socket } from 'node:net'
import { nowMicros } from './clock.ts'
import { inbox, inboxLanding, inboxStart, Leftover } from './inbox.ts'
import { Deframer, frameHeader, upgradeRequest } from './websocket.ts'

/** Who gets what arrives. */
export interface PacketSink {
  /** One whole packet in the inbox: its first byte, where its variable header begins, where it ends, when it arrived. */
  packet(firstByte: number, body: number, end: number, arrivedMicros: number): void
  /** All packets of one read have been handed over. */
  turnEnded(nowMicros: number): void
  /** The connection ended, and not by `close`. */
  lost(error: Error): void
}

const silentSink: PacketSink = { packet() {}, turnEnded() {}, lost() {} }

export class Wire {
  /** What is to be written at the next flush. */
  out: Buffer = Buffer.allocUnsafeSlow(1024)
  outView = viewOf(this.out)
  outLength = 0
  sink: PacketSink = silentSink
  readonly framed: boolean
  readonly #socket: Socket
  readonly #deframer: Deframer | undefined
  readonly #leftover = new Leftover()
  #opened: () => void = () => {}
  #upgradeAnswer: string | undefined
  #closing = false

  /** Connects to `mqtt://host:port` or `ws://host:port/path`; resolves when packets may be written. */
  static async open(address: string): Promise<Wire> {
    const url = new URL(address)
    if (url.protocol !== 'mqtt:' && url.protocol !== 'ws:') throw new Error(`${address}: the load generator speaks mqtt:// and ws:// only`)
    let wire: Wire | undefined
    await new Promise<void>((resolve, reject) => {
      wire = new Wire(url, resolve, reject)
    })
    return wire as Wire
  }

  private constructor(url: URL, opened: () => void, refused: (error: Error) => void) {
    this.framed = url.protocol === 'ws:'
    this.#deframer = this.framed ? new Deframer() : undefined
    this.#upgradeAnswer = this.framed ? '' : undefined
    this.#opened = opened
    this.sink = { ...silentSink, lost: refused }
    const port = Number(url.port) || (this.framed ? 80 : 1883)
    this.#socket = connect({
      host: url.hostname,
      port,
      noDelay: true,
      onread: { buffer: inboxLanding, callback: (bytesRead) => this.#read(bytesRead) },
    })
    this.#socket.on('connect', () => {
      if (this.framed) this.#socket.write(upgradeRequest(url))
      else opened()
    })
    this.#socket.on('error', (error) => this.#lost(error))
    this.#socket.on('close', () => this.#lost(new Error(`${url.host} closed the connection`)))
  }

  /** Bytes that the system has not taken yet. */
  get unsentBytes(): number {
    return this.#socket.writableLength + this.outLength
  }

  /** Makes room for so many bytes in `out` and returns where they go; the caller writes all of them. */
  reserve(bytes: number): number {
    const at = this.outLength
    if (at + bytes > this.out.length) this.#grow(at + bytes)
    this.outLength = at + bytes
    return at
  }

  /** Adds a packet, in a frame of its own where there are frames. */
  put(packet: Buffer): void {
    const bytes = this.framed ? Buffer.concat([frameHeader(packet.length), packet]) : packet
    // Making room may replace `out`.
    const at = this.reserve(bytes.length)
    bytes.copy(this.out, at)
  }

  flush(): void {
    if (this.outLength === 0) return
    this.#socket.write(this.out.subarray(0, this.outLength))
    this.outLength = 0
    // As a rule the system takes it at once; otherwise the socket still needs these bytes.
    if (this.#socket.writableLength > 0) this.#replaceOut(this.out.length)
  }

  /** Calls back when the system has taken everything. */
  whenSent(callback: () => void): void {
    if (this.#socket.writableLength === 0) setImmediate(callback)
    else this.#socket.once('drain', callback)
  }

  /** From now on nothing is read. */
  stall(): void {
    this.#socket.pause()
  }

  /** Ends the connection after what was written. */
  close(): void {
    this.flush()
    this.#closing = true
    this.#socket.destroySoon()
  }

  /** Ends it without a word. */
  cut(): void {
    this.#closing = true
    this.#socket.destroy()
  }

  #read(bytesRead: number): boolean {
    if (this.#closing) return true
    const arrivedMicros = nowMicros()
    try {
      this.#parse(inboxStart + bytesRead, arrivedMicros)
      this.sink.turnEnded(arrivedMicros)
    } catch (error) {
      this.#lost(error instanceof Error ? error : new Error(String(error)))
    }
    return true
  }

  #parse(readEnd: number, arrivedMicros: number): void {
    let end = readEnd
    if (this.#upgradeAnswer !== undefined) end = this.#upgrade(readEnd)
    if (this.#deframer && this.#upgradeAnswer === undefined) end = this.#deframer.unwrap(inboxStart, end)
    let at = this.#leftover.restore(inboxStart)
    while (end - at >= 2) {
      let body = at + 1
      let byte = inbox[body++] as number
      let length = byte & 127
      for (let shift = 7; byte & 128 && body < end; shift += 7) {
        if (shift > 21) throw new Error('a packet without a length')
        byte = inbox[body++] as number
        length |= (byte & 127) << shift
      }
      if (byte & 128 || end - body < length) break
      this.sink.packet(inbox[at] as number, body, body + length, arrivedMicros)
      at = body + length
    }
    this.#leftover.keep(at, end)
  }

  /** Reads the answer to the upgrade; returns where the frames behind it end, after moving them to the start. */
  #upgrade(end: number): number {
    const seenBytes = (this.#upgradeAnswer as string).length
    this.#upgradeAnswer += inbox.toString('latin1', inboxStart, end)
    const answer = this.#upgradeAnswer as string
    const headEnd = answer.indexOf('\r\n\r\n')
    if (headEnd < 0) return inboxStart
    if (!answer.startsWith('HTTP/1.1 101')) throw new Error(`no WebSocket: ${answer.split('\r\n')[0]}`)
    this.#upgradeAnswer = undefined
    this.#opened()
    const restAt = inboxStart + headEnd + 4 - seenBytes
    inbox.copyWithin(inboxStart, restAt, end)
    return inboxStart + end - restAt
  }

  #grow(bytes: number): void {
    const { out, outLength } = this
    this.#replaceOut(Math.max(bytes, out.length * 2))
    out.copy(this.out, 0, 0, outLength)
  }

  #replaceOut(bytes: number): void {
    this.out = Buffer.allocUnsafeSlow(bytes)
    this.outView = viewOf(this.out)
  }

  #lost(error: Error): void {
    if (this.#closing) return
    this.#closing = true
    this.#socket.destroy()
    this.sink.lost(error)
  }
}

function viewOf(buffer: Buffer): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.length)
}
