/** MQTT over WebSocket, at `/mqtt` on the HTTP port [P-7.21]. */
import type { IncomingMessage, Server } from 'node:http'
import { Duplex } from 'node:stream'
import { WebSocketServer, type WebSocket } from 'ws'
import { SyncError } from '../protocol/errors.ts'
import { webSocketGatheredBytesMax, type Limits } from '../seams/limits.ts'

export type WireRules = Pick<Limits, 'packetBytesMax' | 'webSocketMessageBytesMax' | 'topicBytesMax' | 'controlPacketBytesMax' | 'lingerMs'>

export interface UpgradeRules extends WireRules {
  /** Whether a page of this origin may connect [P-7.22]. */
  allowed(request: IncomingMessage): boolean
  refused(request: IncomingMessage): void
}

const path = '/mqtt'
/** Fixed header, length of the topic, packet id. */
const headerBytes = 9
const closeCode = { normal: 1000, unsupportedData: 1003, tooLarge: 1009, internalError: 1011 } as const

/** Takes over WebSocket upgrades of an HTTP server; returns a function that stops doing so. */
export function acceptWebSockets(
  server: Server,
  rules: UpgradeRules,
  accept: (wire: WebSocketWire, request: IncomingMessage) => void,
): () => void {
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    // A message may hold many packets; the splitter bounds each of them.
    maxPayload: messageBytesMax(rules),
    handleProtocols: (offered) => (offered.has('mqtt') ? 'mqtt' : offered.has('mqttv3.1') ? 'mqttv3.1' : false),
  })
  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    // The socket is ours from here on: a peer that is gone when it is answered must end nothing but its socket.
    socket.on('error', () => socket.destroy())
    const wanted = request.url?.split('?', 1)[0] === path
    if (!wanted || !rules.allowed(request)) {
      if (wanted) rules.refused(request)
      socket.end(wanted ? 'HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n' : 'HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n')
      return
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => accept(new WebSocketWire(webSocket, socket, rules), request))
  }
  server.on('upgrade', upgrade)
  return () => {
    server.off('upgrade', upgrade)
    sockets.close()
  }
}

/** A WebSocket as a byte stream: one frame per write however many chunks, back-pressure both ways, binary frames only. */
export class WebSocketWire extends Duplex {
  readonly #webSocket: WebSocket
  readonly #lingerMs: number
  #closeCode: number = closeCode.normal
  /** Nothing was written to it yet: it may be anybody. */
  #isNew = true

  constructor(webSocket: WebSocket, socket: Duplex, rules: WireRules) {
    super({ autoDestroy: true, emitClose: true, readableHighWaterMark: 65_536, writableHighWaterMark: 65_536 })
    this.#webSocket = webSocket
    this.#lingerMs = rules.lingerMs
    this.#boundFirst(socket, Math.max(4 * rules.packetBytesMax, 2 * rules.controlPacketBytesMax))
    webSocket.on('message', (message: Buffer, isBinary) => {
      if (!isBinary) {
        this.#closeCode = closeCode.unsupportedData
        this.destroy(new SyncError('bad-request', 'a text frame: MQTT needs binary ones [P-7.21]'))
      } else if (!this.push(message)) {
        webSocket.pause()
      }
    })
    webSocket.on('error', (error: Error & { readonly code?: unknown }) => {
      if (error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH')
        this.destroy(tooLarge(`${messageBytesMax(rules)} bytes (webSocketMessageBytesMax)`))
      else this.destroy(new SyncError('bad-request', `the WebSocket protocol was broken: ${error.message}`))
    })
    webSocket.on('close', () => {
      this.push(null)
      this.destroy()
    })
  }

  /** Everything written has been sent: the close follows it. */
  override _final(done: () => void): void {
    if (this.#webSocket.isPaused) this.#webSocket.resume()
    this.#webSocket.close(this.#closeCode)
    done()
  }

  override _read(): void {
    if (this.#webSocket.isPaused) this.#webSocket.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send(chunk, done)
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#send(Buffer.concat(chunks.map(({ chunk }) => chunk)), done)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const webSocket = this.#webSocket
    if (webSocket.readyState === webSocket.OPEN || webSocket.readyState === webSocket.CLOSING) {
      if (webSocket.isPaused) webSocket.resume()
      // Where `ws` has closed it already, as for a message that is too long, this changes nothing, and its reason is on the way.
      webSocket.close(error && !(error instanceof SyncError) ? closeCode.internalError : this.#closeCode)
      const linger = setTimeout(() => webSocket.terminate(), this.#lingerMs)
      webSocket.once('close', () => clearTimeout(linger))
    } else {
      webSocket.terminate()
    }
    done(error)
  }

  /** A message is gathered whole before it is given out: of a peer that may be anybody not more than so many bytes. */
  #boundFirst(socket: Duplex, bytesMax: number): void {
    let gathered = 0
    let isWhole = false
    this.#webSocket.on('message', () => (isWhole = true))
    const count = (chunk: Buffer): void => {
      // It comes here behind the messages that it has made whole.
      gathered = isWhole ? 0 : gathered + chunk.length
      isWhole = false
      if (!this.#isNew) socket.off('data', count)
      else if (gathered > bytesMax) {
        // The rest is let go by.
        socket.removeAllListeners('data')
        this.#closeCode = closeCode.tooLarge
        this.destroy(tooLarge(`${bytesMax} bytes before the CONNACK`))
      }
    }
    socket.on('data', count)
  }

  #send(chunk: Buffer, done: (error?: Error | null) => void): void {
    this.#isNew = false
    if (this.#webSocket.readyState !== this.#webSocket.OPEN) return done(new Error('the WebSocket is closed'))
    this.#webSocket.send(chunk, { binary: true, compress: false }, done)
  }
}

/** The largest packet fits, with its topic and header, and what the SDK gathers, whatever is configured. */
function messageBytesMax({ webSocketMessageBytesMax, packetBytesMax, topicBytesMax }: WireRules): number {
  return Math.max(webSocketMessageBytesMax, webSocketGatheredBytesMax, packetBytesMax + topicBytesMax + headerBytes)
}

function tooLarge(most: string): SyncError {
  return new SyncError('payload-too-large', `a WebSocket message of more than ${most} [P-7.21]`)
}
