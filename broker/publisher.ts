/**
 * What one connection publishes: every PUBLISH goes through the same steps in wire order, whatever its QoS and
 * door, and is answered in that order [P-4.6].
 */
import { Draft, encodeFrame, type DraftSink, type Frame } from '../log/draft.ts'
import { hasMembers, mustBeMember } from '../log/members.ts'
import type { Place } from '../log/relay.ts'
import { asSyncError, SyncError, type ErrorCode } from '../protocol/errors.ts'
import { openStream, quote, streamOfTopic, type TopicRules } from '../protocol/topics.ts'
import { routesRememberedMax } from '../seams/limits.ts'
import type { Link } from './link.ts'
import { hold } from './holds.ts'
import { Intents } from './intents.ts'
import { ackHeader, dupFlag, retainFlag } from './packets.ts'
import { draftOfPut } from './put-door.ts'
import { checkPublishGrant, mayDelete } from './wills.ts'

/** Something in the order of a connection that is not an append, or not yet. */
export interface Step {
  settled: boolean
  /** What it holds in memory meanwhile. */
  readonly bytes: number
  /** Called in its turn, once it is settled. */
  finish(): void
}

/** Where a topic leads, judged once and remembered while it repeats. */
interface Route {
  readonly door: 'plain' | 'put' | 'renew'
  readonly topic: string
  readonly stream: string
  readonly mayDeleteAny: boolean
  /** Of the token, where members can be withdrawn from the stream. */
  readonly issuedAtMs: number | undefined
  readonly error: SyncError | undefined
}

const renewTopic = 'auth/renew'
const putPrefix = 'put/'
const openPutPrefix = `${putPrefix}${openStream}/`

export class Publisher implements DraftSink {
  readonly #link: Link
  readonly #intents: Intents
  /** When the bytes being split now arrived, ms. */
  receivedMs = 0
  /** Unfinished, in wire order. */
  #order: (Draft | Step)[] = []
  #finished = 0
  #bytes = 0
  #lastTopic: Buffer | undefined = undefined
  #lastRoute: Route | undefined = undefined
  #routes: Map<string, Route> | undefined = undefined
  #whenDone: (() => void) | undefined = undefined
  #awaitsRelief = false

  constructor(link: Link) {
    this.#link = link
    this.#intents = new Intents(link)
  }

  /** Takes a PUBLISH: `[start, end)` of `chunk`, its topic length at `body`. */
  publish(chunk: Buffer, start: number, body: number, end: number): void {
    const first = chunk[start] as number
    const qos = (first >> 1) & 3
    const topicEnd = body + 2 + (((chunk[body] as number) << 8) | (chunk[body + 1] as number))
    const payloadStart = qos > 0 ? topicEnd + 2 : topicEnd
    if (qos === 3 || end - body < 2 || payloadStart > end) return this.#malformed('malformed PUBLISH')
    const packetId = qos > 0 ? ((chunk[topicEnd] as number) << 8) | (chunk[topicEnd + 1] as number) : 0
    if (qos > 0 && packetId === 0) return this.#malformed('packet id 0 [MQTT-2.3.1-1]')
    if (qos === 0 && (first & dupFlag) !== 0) return this.#malformed('DUP at QoS 0 [MQTT-3.3.1-2]')
    const route = this.#route(chunk, body + 2, topicEnd)
    if (route.error && route.door !== 'put') return this.#link.refuse(route.error, { topic: route.topic })
    const retain = (first & retainFlag) !== 0
    if (route.door !== 'plain') return this.#control(route, Buffer.from(chunk.subarray(payloadStart, end)), { qos, retain, packetId })
    const { payloadBytesMax } = this.#link.hub.limits
    if (end - payloadStart > payloadBytesMax) {
      const message = `${quote(route.topic)}: a payload of ${end - payloadStart} bytes, at most ${payloadBytesMax}`
      return this.#link.refuse(new SyncError('payload-too-large', message), { topic: route.topic })
    }
    if (qos === 0 && !retain) return this.#ephemeral(route, Buffer.from(chunk.subarray(payloadStart, end)))
    if (qos === 2) return this.#publishOnce(route, chunk, start, end, topicEnd, packetId, retain)
    const frame =
      qos === 1 ? { source: chunk, start, end, idOffset: topicEnd } : encodeFrame(route.topic, chunk.subarray(payloadStart, end))
    this.#append(route, frame, { qos: qos as 0 | 1, retain, packetId, id: '' })
  }

  /** Takes a PUBREL: the packet id is free again before PUBCOMP says so [MQTT-4.3.3-2]. */
  release(packetId: number): void {
    const step: Step = { settled: false, bytes: 0, finish: () => this.#link.ack('pubcomp', packetId) }
    this.#await(step, this.#intents.release(packetId))
  }

  /** Calls back once everything taken so far is finished. */
  whenDone(callback: () => void): void {
    if (this.#finished === this.#order.length) return callback()
    this.#whenDone = callback
  }

  /** Reads which QoS 2 publishes of the session were open when it was left. */
  restoreIntents(): Promise<void> {
    return this.#intents.restore()
  }

  /** Verdicts that were remembered are void. */
  grantsChanged(): void {
    this.#lastTopic = this.#lastRoute = this.#routes = undefined
  }

  settled(): void {
    this.#link.hub.turn.acknowledge(this.#link)
  }

  /** Answers what is settled at the front of the order: acknowledgements of one turn leave in one piece. */
  acknowledge(): void {
    const order = this.#order
    const settled = this.#countSettled()
    const acks = Buffer.allocUnsafe(settled * 4)
    let start = 0
    let end = 0
    const sendAcks = (): void => {
      if (end > start) this.#link.write(acks.subarray(start, end))
      start = end
    }
    for (let left = settled; left > 0 && this.#finished < order.length && !this.#link.closed; left--) {
      const step = order[this.#finished++] as Draft | Step
      this.#bytes -= step.bytes
      if (!(step instanceof Draft)) {
        sendAcks()
        step.finish()
      } else if (step.error) {
        sendAcks()
        this.#failed(step, step.error)
      } else if (step.qos > 0) {
        acks[end++] = step.qos === 1 ? ackHeader.puback : ackHeader.pubrec
        acks[end++] = 2
        acks[end++] = step.tag >> 8
        acks[end++] = step.tag & 255
        if (step.qos === 2) this.#intents.received(step.tag)
      }
    }
    sendAcks()
    this.#compact()
  }

  #countSettled(): number {
    let at = this.#finished
    while (at < this.#order.length && (this.#order[at] as Draft | Step).settled) at++
    return at - this.#finished
  }

  #compact(): void {
    if (this.#finished === this.#order.length) {
      if (this.#finished > 0) this.#order = []
      this.#finished = 0
    } else if (this.#finished > 1_024) {
      this.#order = this.#order.slice(this.#finished)
      this.#finished = 0
    }
    if (this.#order.length - this.#finished <= this.#link.hub.limits.appendsPerConnectionMax / 2) this.#link.release(hold.appends)
    if (this.#order.length === 0 && this.#whenDone) {
      const done = this.#whenDone
      this.#whenDone = undefined
      done()
    }
  }

  /** What no store took is not acknowledged: the connection is closed, at any QoS [P-4.5, P-8.7]. */
  #failed(draft: Draft, error: SyncError): void {
    // Nothing behind it is acknowledged either: the client sends all of it again, in order.
    this.#finished = this.#order.length
    this.#link.refuse(error, { topic: draft.topic })
  }

  #append(route: Route, frame: Frame, how: { qos: 0 | 1 | 2; retain: boolean; packetId: number; id: string }): void {
    const { source, start, end, idOffset } = frame
    const { topic, stream, mayDeleteAny, issuedAtMs } = route
    const { qos, retain, packetId, id } = how
    const { uid: from, client } = this.#link
    const { receivedMs } = this
    const draft = new Draft({
      source,
      start,
      end,
      idOffset,
      topic,
      qos,
      retain,
      from,
      client,
      id,
      condition: undefined,
      since: undefined,
      mayDeleteAny,
      issuedAtMs,
      receivedMs,
      sink: this,
      tag: packetId,
    })
    this.#enqueue(draft)
    if (this.#intents.waiting) this.#intents.behind(() => this.#link.hub.log.relay.append(stream, draft))
    else this.#link.hub.log.relay.append(stream, draft)
  }

  #enqueue(step: Draft | Step): void {
    this.#order.push(step)
    this.#bytes += step.bytes
    const { limits, log } = this.#link.hub
    const { appendsPerConnectionMax, appendBytesPerConnectionMax } = limits
    if (this.#order.length - this.#finished > appendsPerConnectionMax || this.#bytes > appendBytesPerConnectionMax) {
      this.#link.setHold(hold.appends)
    } else if (log.pressed && !this.#awaitsRelief) {
      this.#awaitsRelief = true
      this.#link.setHold(hold.appends)
      log.whenRelieved(() => {
        this.#awaitsRelief = false
        this.#compact()
      })
    }
  }

  /** A step whose turn comes when the promise has ended. A rejection ends the connection. */
  #await(step: Step, promise: Promise<void> | undefined): void {
    this.#enqueue(step)
    const settle = (): void => {
      step.settled = true
      this.settled()
    }
    if (!promise) return settle()
    promise.then(settle, (error: unknown) => this.#link.refuse(asSyncError(error)))
  }

  /** Delivered live when everything before it was appended [P-8.12]. */
  #ephemeral(route: Route, payload: Buffer): void {
    const { hub, uid, client } = this.#link
    let places: readonly Place[] = [route]
    const { issuedAtMs } = route
    const admitted =
      issuedAtMs === undefined
        ? hub.log.relay.ephemeral(route.stream, route.topic)?.then((found) => void (places = found))
        : mustBeMember(hub.log, route.stream, { uid, issuedAtMs })
    const finish = (): void => {
      for (const { stream, topic } of places) hub.ephemerals.publish({ stream, topic, payload, from: uid, client })
    }
    this.#await({ settled: false, bytes: payload.length, finish }, admitted)
  }

  /** QoS 2: the entry id it will have is durable before the append, so that a repetition appends nothing [P-4.3]. */
  #publishOnce(route: Route, chunk: Buffer, start: number, end: number, topicEnd: number, packetId: number, retain: boolean): void {
    const intent = this.#intents.begin(packetId, route.stream)
    if (intent === 'appending') return // Its commit answers both.
    if (intent === 'received') return this.#await({ settled: false, bytes: 0, finish: () => this.#link.ack('pubrec', packetId) }, undefined)
    if (intent === 'full') {
      const { qos2OpenMax } = this.#link.hub.limits
      return this.#link.refuse(new SyncError('too-many-requests', `more than ${qos2OpenMax} QoS 2 publishes without PUBREL`))
    }
    this.#append(route, { source: chunk, start, end, idOffset: topicEnd }, { qos: 2, retain, packetId, id: intent.id })
  }

  #control(route: Route, payload: Buffer, { qos, retain, packetId }: { qos: number; retain: boolean; packetId: number }): void {
    if (retain || qos === 2 || (route.door === 'put' && qos !== 1)) {
      const wanted = route.door === 'put' ? 'QoS 1' : 'QoS 0 or 1'
      return this.#link.refuse(new SyncError('bad-request', `${route.topic}: only with ${wanted} and without retain [P-5.18]`))
    }
    if (route.door === 'renew') return this.#renew(payload, packetId)
    const { topic, stream, mayDeleteAny, issuedAtMs, error } = route
    const put = draftOfPut(this.#link, { topic, mayDeleteAny, issuedAtMs, payload, packetId, receivedMs: this.receivedMs, error })
    if (!put) return
    const { step, draft } = put
    if (!draft) return this.#await(step, undefined)
    this.#enqueue(step)
    const { log } = this.#link.hub
    if (this.#intents.waiting) this.#intents.behind(() => log.relay.append(stream, draft))
    else log.relay.append(stream, draft)
  }

  /** [P-7.9]: never logged, stored or shown; the answer comes before the PUBACK. */
  #renew(payload: Buffer, packetId: number): void {
    const link = this.#link
    const { principal } = link
    if (!principal) return
    let answer: Record<string, unknown> = {}
    const renewal = link.hub.authority.renew(principal, payload.toString(), link.client).then(
      (renewed) => {
        link.renewed(renewed)
        answer = { ctl: 'renewed', exp: Math.floor(renewed.expiresAtMs / 1_000) }
      },
      (error: unknown) => {
        const refusal = asSyncError(error)
        link.refused(refusal)
        answer = { ctl: 'renew-refused', reason: refusal.code }
      },
    )
    const finish = (): void => {
      link.control(answer)
      if (packetId > 0) link.ack('puback', packetId)
    }
    this.#await({ settled: false, bytes: payload.length, finish }, renewal)
  }

  #malformed(reason: string): void {
    this.#link.broken(reason)
  }

  #route(chunk: Buffer, start: number, end: number): Route {
    if (this.#lastRoute && this.#isLastTopic(chunk, start, end)) return this.#lastRoute
    const wire = chunk.toString('utf8', start, end)
    let route = this.#routes?.get(wire)
    if (!route) {
      route = this.#judge(wire)
      if (this.#lastRoute) {
        this.#routes ??= new Map()
        if (this.#routes.size >= routesRememberedMax) this.#routes.clear()
        this.#routes.set(wire, route)
      }
    }
    this.#lastTopic = Buffer.from(chunk.subarray(start, end))
    this.#lastRoute = route
    return route
  }

  /** In place of a native comparison, which costs more than the few bytes. */
  #isLastTopic(chunk: Buffer, start: number, end: number): boolean {
    const last = this.#lastTopic
    if (last?.length !== end - start) return false
    for (let at = 0; at < last.length; at++) if (last[at] !== chunk[start + at]) return false
    return true
  }

  #judge(wire: string): Route {
    const door = wire === renewTopic ? 'renew' : wire.startsWith(putPrefix) ? 'put' : 'plain'
    const none = { door, topic: wire, stream: '', mayDeleteAny: false, issuedAtMs: undefined } as const
    if (door === 'renew') return { ...none, error: undefined }
    const topic = door === 'put' ? plainTopic(wire) : wire
    const { principal, hub } = this.#link
    const unfit = door === 'put' ? unfitForWire(wire, hub.rules) : undefined
    if (unfit) return { ...none, door: 'plain', error: unfit }
    try {
      if (!principal) throw new SyncError('unauthorized' satisfies ErrorCode, 'not authenticated')
      const stream = streamOfTopic(topic, hub.rules)
      if (door === 'put' && (stream === openStream) !== wire.startsWith(openPutPrefix))
        throw new SyncError('bad-topic', `${quote(wire)}: on this door the open stream, and no other, is called ${openStream} [P-1.27]`)
      checkPublishGrant(principal.grants, stream, topic)
      const mayDeleteAny = mayDelete(principal.grants, stream, topic)
      const issuedAtMs = hasMembers(stream) ? principal.issuedAtMs : undefined
      return { door, topic, stream, mayDeleteAny, issuedAtMs, error: undefined }
    } catch (error) {
      return { ...none, error: asSyncError(error) }
    }
  }
}

/** The topic a put is for: in the open stream its name stands in front [P-1.27]. */
function plainTopic(wire: string): string {
  return wire.slice(wire.startsWith(openPutPrefix) ? openPutPrefix.length : putPrefix.length)
}

/** What closes the connection whatever the door [P-1.20], [P-1.21]. */
function unfitForWire(wire: string, { topicLevelsMax, topicBytesMax }: TopicRules): SyncError | undefined {
  if (/[\0\ufffd]/.test(wire)) return new SyncError('bad-topic', `${quote(wire)}: NUL, or no UTF-8 [MQTT-1.5.3]`)
  if (wire.split('/').length <= topicLevelsMax && Buffer.byteLength(wire) <= topicBytesMax) return undefined
  return new SyncError('bad-topic', `${quote(wire)}: more than ${topicLevelsMax} levels or ${topicBytesMax} bytes [P-1.21]`)
}
