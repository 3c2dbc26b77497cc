/**
 * Messages between users [P-15.1]: what is published to `outbox/alice/bob/…` is appended to bob's inbox first, then to alice's
 * outbox, under one id. Nothing stands in an outbox that does not stand in the inbox, whatever happens between the two.
 */
import { randomUUID } from 'node:crypto'
import { asSyncError, SyncError } from '../protocol/errors.ts'
import { deliveryOf, type Delivery } from '../protocol/topics.ts'
import { Draft, encodeFrame, type DraftRequest } from './draft.ts'
import { Judge } from './judge.ts'
import type { Log } from './log.ts'
import { RelayRates } from './relay-rates.ts'

/** Whether a user may send messages to another; the uids are encoded. What it throws refuses the message as well. */
export type MayDeliver = (from: string, to: string) => boolean | Promise<boolean>

/** The messages of one outbox that wait to be judged: they keep their order. */
interface Line {
  end: Promise<void>
  /** Why nobody who stands in it is sent. */
  refusal: SyncError | undefined
}

/** A topic and its stream. */
export type Place = Pick<Delivery, 'stream' | 'topic'>

export class Relay {
  readonly #log: Log
  readonly #mayDeliver: MayDeliver | undefined
  readonly #rates: RelayRates
  /** By outbox. */
  readonly #lines = new Map<string, Line>()
  /** By outbox, user and id: what is not settled yet. Another message under the same id waits for what becomes of it. */
  readonly #unsettled = new Map<string, Promise<void>>()

  constructor(log: Log, mayDeliver: MayDeliver | undefined) {
    this.#log = log
    this.#mayDeliver = mayDeliver
    this.#rates = new RelayRates(log)
  }

  /** As `Log.append`, for what clients publish to any stream: a message for somebody is delivered before it is appended. */
  append(stream: string, draft: Draft): void {
    if (!isOutbox(stream)) return this.#log.append(stream, draft)
    const delivery = deliveryOf(draft.topic)
    const line = this.#lines.get(stream) ?? { end: Promise.resolve(), refusal: undefined }
    const leave = (): void => void (this.#lines.get(stream) === line && this.#lines.delete(stream))
    this.#lines.set(stream, line)
    const turn = line.end
      .then(() => {
        if (line.refusal) throw line.refusal
        return this.#send(stream, draft, delivery)
      })
      .catch((error: unknown) => {
        // Whoever stands behind it has waited as long; who comes from now on may find another answer.
        if (error instanceof Undecided) {
          line.refusal = error
          leave()
        }
        settle(draft, asSyncError(error))
      })
      .finally(() => void (line.end === turn && leave()))
    line.end = turn
  }

  /** As `Log.publish`, for what clients publish. */
  publish(stream: string, request: Omit<DraftRequest, 'sink'>): Promise<Draft> {
    return new Promise((resolve, reject) => {
      const settled = (draft: Draft): void => (draft.error ? reject(draft.error) : resolve(draft))
      this.append(stream, Draft.of({ ...request, sink: { settled } }))
    })
  }

  /** Where an ephemeral message to an outbox is to be seen [P-15.9]; rejects with why it may not be sent. Undefined for other streams. */
  ephemeral(stream: string, topic: string): Promise<readonly Place[]> | undefined {
    if (!isOutbox(stream)) return undefined
    const delivery = deliveryOf(topic)
    return this.#admit(delivery).then(() => [delivery, { stream, topic }])
  }

  /** Resolves when the message has its place in both streams, which is not to say that it was appended. */
  async #send(outbox: string, draft: Draft, delivery: Delivery): Promise<void> {
    const id = draft.id || randomUUID()
    const key = `${outbox} ${draft.from} ${id}`
    if (draft.retain || draft.condition) throw new SyncError('bad-request', 'a message between users takes neither retain nor if [P-15.8]')
    await this.#admit(delivery)
    await this.#unsettled.get(key)
    if (!(await this.#isNew(outbox, draft))) return settle(draft)
    let known = (): void => {}
    this.#unsettled.set(key, new Promise((resolve) => (known = resolve)))
    const { topic, qos, from, client, since, receivedMs, source, start, end, idOffset } = draft
    const settled = (own: Draft): void => {
      this.#unsettled.delete(key)
      known()
      const { seq, mark, duplicate } = own
      settle(Object.assign(draft, { seq, mark, duplicate }), own.error)
    }
    const own = Draft.of({
      topic,
      source,
      start,
      end,
      idOffset,
      qos,
      retain: false,
      from,
      client,
      id,
      since,
      receivedMs,
      sink: { settled },
    })
    const frame = encodeFrame(delivery.topic, draft.payload)
    // The outbox may be waiting for nothing but this one.
    const sink = { settled: () => this.#log.resume(outbox) }
    own.after = Draft.of({ topic: delivery.topic, ...frame, qos, retain: false, from, client, id, receivedMs, sink })
    this.#log.append(delivery.stream, own.after)
    this.#log.append(outbox, own)
  }

  async #admit(delivery: Delivery): Promise<void> {
    const { from, to } = delivery
    this.#rates.admit(delivery)
    if (!(await this.#isAllowed(from, to))) throw new SyncError('forbidden', `${to} takes no messages of ${from} [P-15.6]`)
  }

  async #isAllowed(from: string, to: string): Promise<boolean> {
    if (!this.#mayDeliver) return true
    const { appendTimeoutMs } = this.#log.limits
    const decision = this.#mayDeliver(from, to)
    if (typeof decision === 'boolean') return decision
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      const sentence = `whether ${from} may send to ${to} was not decided within ${appendTimeoutMs} ms [P-15.6]`
      timer = setTimeout(() => reject(new Undecided('internal', sentence)), appendTimeoutMs)
    })
    try {
      return await Promise.race([decision, late])
    } finally {
      clearTimeout(timer)
    }
  }

  /** Judges the id in the outbox before anything is delivered; false where that settles the draft [P-15.5]. */
  async #isNew(outbox: string, draft: Draft): Promise<boolean> {
    const stream = await this.#log.stream(outbox)
    // An id that was drawn just now stands nowhere.
    if (draft.id !== '') await this.#log.confirmHead(stream)
    // Also to have it at hand: an outbox whose state must be read first would be left behind by the inbox.
    const fold = await this.#log.state(stream)
    // What the outbox refuses is not delivered.
    const refusal = this.#log.refusalToBegin(stream, draft)
    if (refusal) throw refusal
    return new Judge(fold, { epoch: this.#log.epoch, nextSeq: stream.headSeq + 1, mark: '' }).judge(draft)
  }
}

/** The deployment did not say in time. */
class Undecided extends SyncError {}

function isOutbox(stream: string): boolean {
  return stream.startsWith('outbox/')
}

function settle(draft: Draft, error = draft.error): void {
  draft.error = error
  draft.settled = true
  draft.sink.settled(draft)
}
