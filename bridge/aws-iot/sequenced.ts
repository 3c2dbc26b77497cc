/** What the log has, told to AWS's subscribers: envelopes in the order of the log, copies for plain readers, and where streams stand. */
import type { Bucket } from '../../log/bucket.ts'
import { firstPosition, headPosition } from '../../log/history.ts'
import type { Log } from '../../log/log.ts'
import { controlTopic } from '../../protocol/filters.ts'
import { awsMessageBytesMax, awsTopicBytesMax, awsTopicLevelsMax } from '../../seams/limits.ts'
import type { Logger } from '../../seams/logger.ts'
import { plainClient } from './intake.ts'
import type { Outgoing } from './lane.ts'
import type { Readers } from './readers.ts'

export interface SequencedParts {
  readonly log: Log
  readonly root: string
  readonly readers: Readers
  readonly logger: Logger
  /** Hands a message to the lane of a stream, or of a client. */
  readonly send: (key: string, message: Outgoing) => void
}

export class Sequenced {
  readonly #parts: SequencedParts
  readonly #stop: () => void

  /** From now on everything that this node commits is sent. */
  constructor(parts: SequencedParts) {
    this.#parts = parts
    this.#stop = parts.log.observe((bucket) => this.#committed(bucket))
  }

  close(): void {
    this.#stop()
  }

  /** One whose topic AWS would not take is left out. */
  answer(client: string, id: string, payload: string): void {
    const { root, logger } = this.#parts
    const isSent = this.#send(client, { topic: `${root}/reply/${client}/${id}`, payload, qos: 1, stream: undefined })
    if (!isSent) logger.warn({ client, id }, 'an answer was not sent: its topic is longer than AWS takes')
  }

  /** Tells the readers of these filters how far their stream has come [P-20.10]. */
  async tellAt(filters: readonly { readonly filter: string; readonly stream: string }[]): Promise<void> {
    const { log, root, logger } = this.#parts
    for (const { filter, stream: name } of filters) {
      try {
        const stream = await log.stream(name)
        await log.confirmHead(stream)
        const first = await firstPosition(log, stream)
        const head = headPosition(log, stream)
        const wire = `sync/${filter}`
        const payload = JSON.stringify({ ctl: 'at', filter: wire, pos: head, head, first, ts: log.clock.now() })
        this.#send(name, { topic: `${root}/${controlTopic(wire)}`, payload, qos: 1, stream: name })
      } catch (error) {
        // Its readers look by themselves before long.
        logger.warn({ error, stream: name }, 'the head of a stream could not be told')
      }
    }
  }

  /** Topics whose streams were dropped on the way: the readers of all of a stream are told, whoever they are. */
  tellBehind(streams: readonly string[]): void {
    const known = this.#parts.readers.of(streams)
    const whole = streams.map((stream) => ({ filter: `${stream}/#`, stream }))
    void this.tellAt([...whole, ...known.filter(({ filter, stream }) => filter !== `${stream}/#`)])
  }

  #committed(bucket: Bucket): void {
    const { log, root, readers } = this.#parts
    const { stream } = bucket
    // Entries of one topic share a message: at AWS it is messages that count.
    const batches = new Map<string, Buffer[]>()
    let isWhole = true
    for (let index = 0; index < bucket.count; index++) {
      const topic = bucket.topic(index)
      const envelope = log.envelopes.of(bucket, index)
      if (isCopied(bucket, index))
        this.#send(stream, { topic: `${root}/${topic}`, payload: Buffer.from(bucket.payload(index)), qos: 0, stream })
      // Longer ones are not on the sync door: HTTP takes what AWS does not.
      if (!fits(`${root}/sync/${topic}`, envelope.length)) {
        isWhole = false
        continue
      }
      const envelopes = batches.get(topic) ?? []
      if (envelopes.length === 0) batches.set(topic, envelopes)
      envelopes.push(envelope)
    }
    for (const [topic, envelopes] of batches)
      for (const payload of joined(envelopes)) this.#send(stream, { topic: `${root}/sync/${topic}`, payload, qos: 1, stream })
    if (isWhole) readers.sent(stream, log.clock.now())
  }

  /** False for what AWS would not take: it ends the connection, and again each time that this is sent again. */
  #send(key: string, message: Outgoing): boolean {
    if (!fits(message.topic, Buffer.byteLength(message.payload))) return false
    this.#parts.send(key, message)
    return true
  }
}

/** What a client has published as it is, AWS has delivered: except into an inbox, where only the relay writes. */
function isCopied(bucket: Bucket, index: number): boolean {
  if (bucket.isNote(index)) return false
  return bucket.client(index) !== plainClient || bucket.stream.startsWith('inbox/')
}

function fits(topic: string, payloadBytes: number): boolean {
  return topic.split('/').length <= awsTopicLevelsMax && Buffer.byteLength(topic) <= awsTopicBytesMax && payloadBytes <= awsMessageBytesMax
}

/** One envelope as it is, several as a JSON array, none larger than AWS takes, as none of them is alone. */
function* joined(envelopes: readonly Buffer[]): Generator<Buffer> {
  let batch: Buffer[] = []
  let bytes = 1
  const message = (): Buffer =>
    batch.length === 1 ? (batch[0] as Buffer) : Buffer.from(`[${batch.map((envelope) => envelope.toString()).join(',')}]`)
  for (const envelope of envelopes) {
    if (batch.length > 0 && bytes + envelope.length + 1 > awsMessageBytesMax) {
      yield message()
      batch = []
      bytes = 1
    }
    batch.push(envelope)
    bytes += envelope.length + 1
  }
  if (batch.length > 0) yield message()
}
