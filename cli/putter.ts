/** Publishes over the put door: each put has an id, so that one whose answer was lost can be sent again [P-5.1]. */
import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { asSyncError, errorTable, SyncError, type ErrorCode } from '../protocol/errors.ts'
import { connectMqtt, disconnect, type MqttSession } from './mqtt-session.ts'
import type { Target } from './target.ts'

/** The members of a put, its id apart. */
export interface PutFields {
  readonly data?: unknown
  readonly text?: string
  readonly retain?: boolean
  readonly if?: string
}

export interface PutAnswer {
  readonly id: string
  readonly pos: string
  readonly duplicate?: boolean
}

interface PendingPut {
  readonly topic: string
  readonly payload: string
  resolve(answer: PutAnswer): void
  reject(error: SyncError): void
}

/** A connection that was lost is made again so often before what waits is given up. */
const attemptsMax = 5
const firstPauseMs = 100

export class Putter {
  readonly #target: Target
  /** In the order sent, which is that of the log. */
  readonly #pending = new Map<string, PendingPut>()
  #session: MqttSession | undefined
  #closing = false
  /** Connections tried since the last answer. */
  #attempts = 0

  static async connect(target: Target): Promise<Putter> {
    const putter = new Putter(target)
    await putter.#connect()
    return putter
  }

  private constructor(target: Target) {
    this.#target = target
  }

  /** Resolves once the entry is on disk [P-8.4]; rejects with the refusal. */
  put(topic: string, fields: PutFields, id: string = randomUUID()): Promise<PutAnswer> {
    return new Promise((resolve, reject) => {
      const pending = { topic: `put/${topic}`, payload: JSON.stringify({ id, ...fields }), resolve, reject }
      this.#pending.set(id, pending)
      this.#send(pending)
    })
  }

  async close(): Promise<void> {
    this.#closing = true
    if (this.#session) await disconnect(this.#session)
  }

  async #connect(): Promise<void> {
    const session = await connectMqtt(this.#target)
    session.client.on('message', (topic, payload) => this.#answered(topic, payload.toString()))
    await session.client.subscribeAsync(`reply/${session.clientId}/+`, { qos: 0 })
    this.#session = session
    void session.closed.then(() => this.#lost())
    for (const pending of this.#pending.values()) this.#send(pending)
  }

  #send({ topic, payload }: PendingPut): void {
    this.#session?.client.publish(topic, payload, { qos: 1 }, () => {}) // What counts is the answer.
  }

  #answered(topic: string, text: string): void {
    const answer = JSON.parse(text) as { id?: string; pos?: string; error?: string; reason?: string; current?: unknown }
    const pending = answer.id === undefined ? undefined : this.#pending.get(answer.id)
    if (!pending || answer.id === undefined || topic.endsWith('/$ctl')) return
    this.#pending.delete(answer.id)
    this.#attempts = 0
    if (answer.error === undefined) pending.resolve(answer as PutAnswer)
    else pending.reject(refusalOf(answer as typeof answer & { error: string }, pending.topic.slice('put/'.length)))
  }

  async #lost(): Promise<void> {
    this.#session = undefined
    while (this.#attempts < attemptsMax && !this.#closing && this.#pending.size > 0) {
      await pause(firstPauseMs * 2 ** this.#attempts++)
      try {
        return await this.#connect()
      } catch (error) {
        const refusal = asSyncError(error)
        if (refusal.code !== 'store-unavailable' || this.#attempts === attemptsMax) return this.#giveUp(refusal)
      }
    }
    this.#giveUp(new SyncError('store-unavailable', 'the server closes the connection instead of answering; its log says why'))
  }

  #giveUp({ code, message }: SyncError): void {
    for (const [id, pending] of this.#pending) {
      pending.reject(new SyncError(code, `${message}; whether the entry ${id} was stored is not known: publish it again with --id ${id}`))
    }
    this.#pending.clear()
  }
}

function refusalOf(answer: { error: string; reason?: string; current?: unknown }, topic: string): SyncError {
  const { error, reason, current } = answer
  const code: ErrorCode = error in errorTable ? (error as ErrorCode) : 'internal'
  const title = errorTable[code].title
  const now = code !== 'conflict' ? '' : current ? ` (it holds ${(current as { pos: string }).pos})` : ' (it holds nothing)'
  return new SyncError(code, `${topic}: ${reason ?? title}${now} [${error}]`)
}
