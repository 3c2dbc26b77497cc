/**
 * One connection: the socket on one side, aedes behind a pipe on the other, and between them everything about
 * messages. States: `new` until a CONNECT is whole, `connecting` until its CONNACK is written, `ready`, `closed`.
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Principal } from '../auth/index.ts'
import type { Flushed } from '../delivery/turn.ts'
import { SyncError, type ErrorCode } from '../protocol/errors.ts'
import { runConnectSteps } from './connect.ts'
import type { ConnectRequest, EnginePeer } from './engine.ts'
import { hold } from './holds.ts'
import type { Hub } from './hub.ts'
import { ackHeader, connackCode, encodeAck, encodeConnack, encodePublish, packetType, pingresp, protocolLevel } from './packets.ts'
import { Output } from './output.ts'
import { Patience } from './patience.ts'
import { Pipe, type PipeEnd } from './pipe.ts'
import { Publisher } from './publisher.ts'
import type { Session } from './session.ts'
import type { SessionHolder } from './sessions.ts'
import { Splitter, type PacketSink } from './splitter.ts'
import { Subscribing } from './subscribing.ts'
import type { Will } from './wills.ts'

export class Link implements PacketSink, PipeEnd, EnginePeer, SessionHolder, Flushed {
  readonly hub: Hub
  readonly door: string
  readonly publisher: Publisher
  /** Known once authenticated. */
  principal: Principal | undefined = undefined
  /** The encoded client id, and the name of the session. */
  client = ''
  key = ''
  session: Session | undefined = undefined
  sessionPresent = false
  generation = 0
  tenure = 0
  will: Will | undefined = undefined
  /** Judged at CONNECT, armed once the session is open. */
  preparedWill: Will | undefined = undefined
  clean = true
  readonly gone: Promise<void>
  /** Resolves when the peer has everything, or was cut. Set at the end. */
  wireClosed: Promise<void> = Promise.resolve()
  #resolveGone: () => void = () => {}
  readonly #wire: Duplex
  readonly #request: IncomingMessage | undefined
  readonly #splitter: Splitter
  #pipe: Pipe | undefined = undefined
  #state: 'new' | 'connecting' | 'ready' | 'closed' = 'new'
  #holds = 0
  #paused = false
  readonly #patience: Patience
  #warned = false
  readonly #output: Output
  /** Ends when every step of the CONNECT has ended, well or badly. */
  #connected: Promise<unknown> = Promise.resolve()
  #entered = false
  /** A CONNACK that accepts was written; aedes' event comes later, and the client counts on its will from here on [P-4.27]. */
  #welcomed = false
  readonly #subscribing: Subscribing

  /** Serves a connection from now on. */
  static open(hub: Hub, wire: Duplex, door: string, request?: IncomingMessage): void {
    hub.links.add(new Link(hub, wire, door, request))
  }

  private constructor(hub: Hub, wire: Duplex, door: string, request?: IncomingMessage) {
    this.hub = hub
    this.door = door
    this.#wire = wire
    this.#request = request
    this.#splitter = new Splitter(this, hub.limits)
    this.#output = new Output(hub, wire, this)
    this.publisher = new Publisher(this)
    this.#subscribing = new Subscribing(this)
    this.#patience = new Patience(hub.clock, hub.limits)
    this.gone = new Promise((resolve) => (this.#resolveGone = resolve))
    wire.on('data', (chunk: Buffer) => this.#received(chunk))
    wire.on('end', () => this.close('the peer ended the connection', 'ended'))
    wire.on('close', () => this.close('the socket was closed', 'ended'))
    wire.on('error', (error: Error) => {
      // Below MQTT, too, rules can be broken.
      if (error instanceof SyncError && !this.closed) this.broken(error.message, error.code)
      else this.close(`the socket failed: ${error.message}`, 'ended')
    })
    wire.on('drain', () => this.#drained())
  }

  get closed(): boolean {
    return this.#state === 'closed'
  }

  // Input.

  #received(chunk: Buffer): void {
    if (this.closed) return
    this.publisher.receivedMs = this.hub.clock.now()
    this.#splitter.feed(chunk)
  }

  /** One packet, whole. Nothing passes a CONNECT, SUBSCRIBE or UNSUBSCRIBE that is not finished [P-7.20]. */
  packet(chunk: Buffer, start: number, body: number, end: number): boolean {
    const first = chunk[start] as number
    const type = first >> 4
    this.#patience.heard(this.publisher.receivedMs)
    if (this.#state === 'new') {
      if (first !== 0x10) this.broken('the first packet is not a CONNECT [MQTT-3.1.0-1]')
      else this.#connect(chunk, start, body, end)
    } else if (type === packetType.publish) {
      this.publisher.publish(chunk, start, body, end)
    } else {
      this.#other(type, first, chunk, start, body, end)
    }
    return this.#holds === 0 && !this.closed
  }

  #other(type: number, first: number, chunk: Buffer, start: number, body: number, end: number): void {
    switch (type) {
      case packetType.puback:
        if (first !== 0x40 || end - body !== 2) return this.broken('malformed PUBACK')
        return this.session?.acknowledge(chunk.readUInt16BE(body))
      case packetType.pubrel:
        if (first !== 0x62 || end - body !== 2) return this.broken('malformed PUBREL')
        return this.publisher.release(chunk.readUInt16BE(body))
      case packetType.subscribe:
        if (first !== 0x82) return this.broken('malformed SUBSCRIBE')
        return this.#toEngineHeld(this.#subscribing.begin(chunk.subarray(start, end), body - start))
      case packetType.unsubscribe:
        if (first !== 0xa2) return this.broken('malformed UNSUBSCRIBE')
        return this.#toEngineHeld(this.#subscribing.end(chunk.subarray(start, end), body - start))
      case packetType.pingreq:
        if (first !== 0xc0 || end !== body) return this.broken('malformed PINGREQ')
        return this.write(pingresp)
      case packetType.disconnect:
        if (first !== 0xe0 || end !== body) return this.broken('malformed DISCONNECT')
        return this.#disconnect()
      default:
        // PUBREC and PUBCOMP answer a QoS 2 delivery, and there is none [P-4.7].
        return this.broken(`a packet of type ${type} has no place here`)
    }
  }

  #connect(chunk: Buffer, start: number, body: number, end: number): void {
    const level = protocolLevel(chunk, body, end)
    if (level !== undefined && level !== 3 && level !== 4) {
      this.write(encodeConnack(connackCode.unacceptableProtocol))
      return this.broken(`protocol level ${level}: 4 is served, and 3 [P-7.12]`)
    }
    this.#state = 'connecting'
    this.#wait(hold.connecting, this.hub.limits.authTimeoutMs, 'the CONNECT was not finished in time')
    this.#pipe = new Pipe(this)
    this.hub.engine.attach(this, this.#pipe, this.#request)
    this.#pipe.push(Buffer.from(chunk.subarray(start, end)))
  }

  /** Hands what was read to aedes; nothing passes it until its acknowledgement has been written. */
  #toEngineHeld(packet: Buffer | SyncError): void {
    if (packet instanceof SyncError) return this.broken(packet.message, packet.code)
    this.#wait(hold.subscribing, this.hub.limits.holdTimeoutMs, 'a SUBSCRIBE or UNSUBSCRIBE was not finished in time')
    if (!this.#pipe?.push(packet)) this.setHold(hold.engine)
  }

  #disconnect(): void {
    const { will } = this
    this.will = undefined
    if (will) this.hub.wills.disarm(this.key, will).catch((error: unknown) => this.#log('warn', 'a will could not be removed', { error }))
    // What the client sent before it is finished first [P-8.12].
    this.setHold(hold.stopping)
    this.publisher.whenDone(() => this.close('the client disconnected', 'disconnect'))
  }

  // aedes' side.

  connect(request: ConnectRequest): Promise<string> {
    this.#patience.keepAliveS = request.keepAliveS
    this.clean = request.clean
    const connected = runConnectSteps(this, request)
    this.#connected = connected.catch(() => {}) // Told to the client by aedes; here only the end counts.
    return connected
  }

  ready(): void {
    if (this.closed) return
    this.#state = 'ready'
    this.release(hold.connecting)
    this.session?.activate()
  }

  subscribe(number: string): Promise<boolean> {
    return this.#subscribing.judge(number)
  }

  async saved(): Promise<void> {
    if (this.session && !this.clean) await this.hub.sessions.save(this)
  }

  unsubscribed(): void {
    this.release(hold.subscribing)
  }

  fromEngine(packets: Buffer, written: () => void): void {
    if (this.closed) return written()
    const type = (packets[0] as number) >> 4
    if (type === packetType.connack && packets[3] === 0) {
      packets[2] = this.sessionPresent ? 1 : 0
      this.#welcomed = true
    }
    if (type === packetType.suback) packets = this.#subscribing.suback()
    this.write(packets)
    // Not at aedes' event, which comes before its packet: then the next SUBSCRIBE would be answered in place of this one.
    if (type === packetType.suback) {
      this.session?.activate()
      this.release(hold.subscribing)
    }
    this.#output.whenRoom(written)
  }

  engineReads(): void {
    this.release(hold.engine)
  }

  engineClosed(error: Error | null): void {
    this.close(error ? `aedes: ${error.message}` : 'aedes closed the connection', 'ended')
  }

  // Output.

  get bytesLeft(): number {
    return this.#output.bytesLeft
  }

  get unsentBytes(): number {
    return this.#output.unsentBytes
  }

  /** Gathers packets; they leave with everything else of this turn. */
  write(packets: Buffer): void {
    if (!this.closed) this.#output.write(packets)
  }

  flush(): void {
    const wasFull = this.bytesLeft <= 0
    this.#output.flush()
    if (this.closed) return
    if (this.bytesLeft > 0) {
      // The system took it all at once: there will be no drain event to go on at.
      if (wasFull) setImmediate(() => this.#drained())
      return
    }
    // A peer that does not read its acknowledgements is not read either.
    this.#patience.peerIsBehind()
    this.setHold(hold.unread)
  }

  acknowledge(): void {
    this.publisher.acknowledge()
  }

  /** A message of the server to this connection alone [P-7.1]; false if the client does not listen to it. */
  reply(name: string, payload: Buffer): boolean {
    const topic = `reply/${this.client}/${name}`
    if (!this.session?.hearsReply(topic)) return false
    this.write(encodePublish(topic, payload))
    return true
  }

  control(message: Record<string, unknown>): void {
    this.reply('$ctl', Buffer.from(JSON.stringify(message)))
  }

  ack(kind: keyof typeof ackHeader, packetId: number): void {
    this.write(encodeAck(ackHeader[kind], packetId))
  }

  #drained(): void {
    this.#patience.peerHasRead()
    this.#output.drained()
    this.release(hold.unread)
    this.session?.kick()
  }

  // Back-pressure.

  setHold(reason: number): void {
    this.#holds |= reason
    this.#splitter.stop()
    if (this.#paused || this.closed) return
    this.#paused = true
    this.#wire.pause()
  }

  release(reason: number): void {
    if ((this.#holds & reason) === 0) return
    this.#holds &= ~reason
    if ((this.#holds & (hold.connecting | hold.subscribing)) === 0) this.#patience.waitIsOver()
    if (this.#holds !== 0 || this.closed) return
    this.#patience.listensAgain()
    this.#splitter.resume()
    if (this.#holds !== 0 || !this.#paused || this.closed) return
    this.#paused = false
    this.#wire.resume()
  }

  #wait(reason: number, timeoutMs: number, whatFailed: string): void {
    this.#patience.waitFor(timeoutMs, whatFailed)
    this.setHold(reason)
  }

  // Time.

  /** Called about twice a second: one clock for all waits of all connections. */
  tick(nowMs: number): void {
    const lost = this.#patience.lost(nowMs, !this.#paused)
    if (lost?.code === 'bad-request') return this.broken(lost.reason)
    if (lost) return this.close(lost.reason, lost.code)
    if (!this.principal || this.#state !== 'ready') return
    const leftMs = this.principal.expiresAtMs - nowMs
    if (leftMs <= 0) return this.close('the token has expired', 'token-expired')
    if (leftMs <= this.hub.limits.authWarningMs && !this.#warned) {
      this.#warned = true
      this.control({ ctl: 'auth-expiring', in: Math.floor(leftMs / 1_000) })
    }
    this.session?.tick(nowMs)
  }

  /** A fresh token of the same user was accepted [P-7.9]. */
  renewed(principal: Principal): void {
    this.principal = principal
    this.#warned = false
    this.session?.renew(principal)
    this.publisher.grantsChanged()
  }

  /** Closes the connection if its token is among the revoked [P-7.8]. */
  checkRevoked(): void {
    if (!this.principal || !this.hub.authority.isRevoked(this.principal)) return
    this.control({ ctl: 'revoked' })
    this.close('the token was revoked', 'revoked')
  }

  // The end.

  /** The peer breaks the protocol. */
  broken(reason: string, code: ErrorCode = 'bad-request'): void {
    this.hub.telemetry.refused(this.door, code)
    this.close(reason, code)
  }

  /** Ends the connection because of what its client did; the log names client and reason [P-4.5]. */
  refuse(error: SyncError, fields: object = {}): void {
    this.refused(error, fields)
    this.close(error.message, error.code)
  }

  refused(error: SyncError, fields: object = {}): void {
    this.hub.telemetry.refused(this.door, error.code)
    this.#log('warn', `refused: ${error.message}`, { code: error.code, ...fields })
  }

  /** Ends the connection: what is due is sent, a peer that does not read it is cut [P-7.23]. */
  close(reason: string, code: string): void {
    if (this.closed) return
    this.acknowledge()
    if (this.closed) return // An acknowledgement was refused, which closed it.
    this.#state = 'closed'
    this.#log(code === 'disconnect' || code === 'ended' ? 'debug' : 'info', `closed: ${reason}`, { code })
    this.hub.links.delete(this)
    this.hub.leaving.add(this)
    this.#splitter.discard()
    this.session?.close()
    this.wireClosed = this.#output.end()
    this.#pipe?.destroy()
    this.#leave().catch((error: unknown) => this.#log('error', 'a connection could not be ended in good order', { error }))
  }

  async #leave(): Promise<void> {
    const { hub, key } = this
    // Who takes over must not load the session while this connection is still opening it.
    await this.#connected
    const { session, will } = this
    session?.close()
    try {
      if (session && !this.clean) await hub.sessions.save(this, true)
      if (will) await (this.#welcomed ? hub.wills.publish(key, will, this.principal) : hub.wills.disarm(key, will))
    } finally {
      if (this.#entered) await hub.sessions.leave(this)
      hub.leaving.delete(this)
      this.#resolveGone()
    }
  }

  /** Becomes the holder of its session; resolves when it may load it. */
  async enterSession(): Promise<void> {
    this.key = `${this.uid}/${this.client}`
    await this.hub.sessions.enter(this)
    this.#entered = true
  }

  get uid(): string {
    return this.principal?.uid ?? ''
  }

  #log(level: 'debug' | 'info' | 'warn' | 'error', message: string, fields: object = {}): void {
    this.hub.logger[level]({ door: this.door, uid: this.principal?.uid, client: this.client || undefined, ...fields }, message)
  }
}
