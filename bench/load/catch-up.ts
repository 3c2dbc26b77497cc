/** What a reader that was away gets: published in its absence, then read as fast as it comes. */
import { Client } from './client.ts'
import { nowMicros } from './clock.ts'
import { Count, countedPayload, inboxNumberAt, readNumber, writeNumber } from './counted.ts'
import { inbox, inboxView } from './inbox.ts'
import type { Faults } from './options.ts'
import { packetType, publishTemplate, type Credentials, type PublishTemplate } from './packets.ts'
import { Wire } from './wire.ts'

const quietMs = 20_000

export interface CatchUpTarget {
  readonly url: string
  readonly credentials?: Credentials | undefined
  readonly topic: string
  readonly messages: number
  readonly sizeBytes: number
}

export interface CatchUpResult extends Faults {
  readonly messages: number
  readonly received: number
  /** From sending CONNECT to the first message. */
  readonly firstMs: number
  /** From sending CONNECT to the last message. */
  readonly seconds: number
  readonly perSecond: number
}

/** Makes a persistent session with the filter `topic` and leaves it. */
export async function leaveSession({ url, credentials, topic }: CatchUpTarget, clientId: string): Promise<void> {
  const client = new Client(await Wire.open(url))
  await client.connect({ clientId, clean: false, credentials })
  await client.subscribe(topic, 1)
  client.leave()
}

/** Publishes the messages and resolves when all are acknowledged, with how many that was a second. */
export async function publishCounted(target: CatchUpTarget, clientId: string, window: number): Promise<number> {
  const client = new CountedPublisher(await Wire.open(target.url), target, window)
  await client.connect({ clientId, clean: true, credentials: target.credentials })
  const began = nowMicros()
  await client.publishAll()
  client.leave()
  return Math.round((target.messages * 1e6) / (nowMicros() - began))
}

/** Comes back to the session and reads until nothing is missing. */
export async function returnToSession(target: CatchUpTarget, clientId: string): Promise<CatchUpResult> {
  const reader = new CountedReader(await Wire.open(target.url), target, 'plain')
  return await reader.read(async () => {
    const { sessionPresent } = await reader.connect({ clientId, clean: false, credentials: target.credentials })
    if (!sessionPresent) throw new Error(`the server no longer knows the session of ${clientId}`)
  })
}

/** Reads the same by the sync door, from the earliest entry on. */
export async function syncFromEarliest(target: CatchUpTarget, clientId: string): Promise<CatchUpResult> {
  const reader = new CountedReader(await Wire.open(target.url), target, 'sync')
  return await reader.read(async () => {
    await reader.connect({ clientId, clean: true, credentials: target.credentials })
    await reader.subscribe(`sync@earliest/${target.topic}`, 1)
  })
}

class CountedPublisher extends Client {
  readonly #template: PublishTemplate
  readonly #numberOffset: number
  readonly #messages: number
  readonly #window: number
  #sent = 0
  #acked = 0
  #started = false
  #done: () => void = () => {}

  constructor(wire: Wire, { topic, sizeBytes, messages }: CatchUpTarget, window: number) {
    super(wire)
    const { payload, numberOffset } = countedPayload(sizeBytes)
    this.#template = publishTemplate(topic, 1, payload)
    this.#numberOffset = this.#template.payloadOffset + numberOffset
    this.#messages = messages
    this.#window = window
  }

  publishAll(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#done = resolve
      this.onLost = reject
      this.#started = true
      this.turnEnded()
    })
  }

  override turnEnded(): void {
    if (!this.#started) return
    const { bytes, idOffset } = this.#template
    while (this.#sent < this.#messages && this.#sent - this.#acked < this.#window) {
      writeNumber(bytes, this.#numberOffset, ++this.#sent)
      bytes.writeUInt16BE((this.#sent % 0xffff) + 1, idOffset)
      this.wire.put(bytes)
    }
    this.wire.flush()
  }

  protected override message(firstByte: number): void {
    if (firstByte >> 4 === packetType.puback && ++this.#acked === this.#messages) this.#done()
  }
}

class CountedReader extends Client {
  readonly #count: Count
  readonly #numberOffset: number
  readonly #door: 'plain' | 'sync'
  readonly #puback = Buffer.from([0x40, 2, 0, 0])
  #firstMicros = 0
  #lastMicros = 0
  #complete: () => void = () => {}

  constructor(wire: Wire, { messages, sizeBytes }: CatchUpTarget, door: 'plain' | 'sync') {
    super(wire)
    this.#count = new Count(messages)
    this.#numberOffset = countedPayload(sizeBytes).numberOffset
    this.#door = door
  }

  /** Begins as told and reads until it is complete, or nothing has come for `quietMs`. */
  async read(begin: () => Promise<void>): Promise<CatchUpResult> {
    let quiet: NodeJS.Timeout | undefined
    const ended = new Promise<void>((resolve, reject) => {
      this.#complete = resolve
      this.onLost = reject
      this.#lastMicros = nowMicros()
      quiet = setInterval(() => nowMicros() - this.#lastMicros > quietMs * 1000 && resolve(), 500)
    })
    ended.catch(() => {}) // Awaited below, unless the beginning fails.
    const began = nowMicros()
    try {
      await begin()
      await ended
    } finally {
      clearInterval(quiet)
      this.leave()
    }
    const { received, duplicates, reordered, missing } = this.#count
    const seconds = (this.#lastMicros - began) / 1e6
    return {
      messages: received + missing,
      received,
      duplicates,
      reordered,
      gaps: 0,
      undelivered: missing,
      firstMs: this.#firstMicros === 0 ? -1 : (this.#firstMicros - began) / 1000,
      seconds,
      perSecond: Math.round(received / seconds),
    }
  }

  override turnEnded(): void {
    this.wire.flush()
  }

  protected override message(firstByte: number, body: number, end: number, arrivedMicros: number): void {
    if (firstByte >> 4 !== packetType.publish) return
    let payload = body + 2 + inboxView.getUint16(body)
    if (firstByte & 0x06) {
      this.#puback.writeUInt16BE(inboxView.getUint16(payload), 2)
      this.wire.put(this.#puback)
      payload += 2
    }
    const number = this.#door === 'plain' ? inboxNumberAt(payload + this.#numberOffset) : readNumber(inbox, payload, end)
    if (number === 0) return
    if (this.#firstMicros === 0) this.#firstMicros = arrivedMicros
    this.#lastMicros = nowMicros()
    this.#count.see(number)
    if (this.#count.complete) this.#complete()
  }
}
