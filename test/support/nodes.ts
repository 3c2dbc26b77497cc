/** Two brokers over one store that both write to, and how tests talk to them. */
import type { IPublishPacket } from 'mqtt-packet'
import { MemoryStore } from '../../log/stores/memory.ts'
import type { Store } from '../../log/stores/store.ts'
import { formatPosition } from '../../protocol/positions.ts'
import type { Hints } from '../../seams/hints.ts'
import type { Limits } from '../../seams/limits.ts'
import { closeAll, testBroker, type TestBroker } from './broker.ts'
import { calls, GatedStore, type Gate } from './gated-store.ts'
import { deafHintHub, type HintHub } from './hints.ts'
import { toMessage, type Message, type RawClient } from './raw-mqtt.ts'

export type Json = Record<string, unknown>

export const longMs = 60_000
export const stream = 'users/alice'
export const topic = 'users/alice/notes/1'

/** Gates that a failed test may leave closed. */
const gatesHeld: Gate[] = []
const hintsHeld: Hints[] = []

export function hold(node: Node, ...what: Parameters<typeof calls>): Gate {
  const gate = node.gates.hold(calls(...what))
  gatesHeld.push(gate)
  return gate
}

export async function closeAllNodes(): Promise<void> {
  for (const gate of gatesHeld.splice(0)) gate.release()
  await closeAll()
  await Promise.all(hintsHeld.splice(0).map((hints) => hints.close()))
  await Promise.all(handles.splice(0).map((store) => store.close()))
}

/** Where nodes keep their data: each opens a handle of its own. */
export interface Backing {
  handle(): Store
}

const handles: Store[] = []

export function memory(): Backing {
  const store = new MemoryStore({ shared: true })
  return { handle: () => store }
}

export interface Node extends TestBroker {
  readonly gates: GatedStore
}

export interface Pair {
  readonly a: Node
  readonly b: Node
  /** Another handle on their data. */
  readonly inner: Store
  readonly epoch: string
  /** How often a commit of this pair found its place taken. */
  readonly taken: () => number
}

export async function pairOf(hub: HintHub, limits: Partial<Limits> = {}, backing = memory()): Promise<Pair> {
  const handle = (): Store => {
    const store = backing.handle()
    handles.push(store)
    return store
  }
  const inner = handle()
  const { epoch } = await inner.open()
  let taken = 0
  const open = async (folder?: string): Promise<Node> => {
    const gates = new GatedStore(handle())
    gates.committing = async (_buckets, commit) => {
      const outcomes = await commit()
      taken += outcomes.filter((outcome) => outcome === 'taken').length
      return outcomes
    }
    const hints = await hub.join()
    hintsHeld.push(hints)
    const options = { store: gates, hints, limits: { headPollMs: 10, cursorFlushMs: 10, ...limits } }
    return Object.assign(await testBroker(folder === undefined ? options : { ...options, folder }), { gates })
  }
  const a = await open()
  return { a, b: await open(a.folder), inner, epoch, taken: () => taken }
}

/** Nodes that hear nothing of each other: what one knows of the other's entries is old until it asks the store. */
export const deafPair = (limits: Partial<Limits> = {}, backing?: Backing): Promise<Pair> =>
  pairOf(deafHintHub(), { headPollMs: 3_600_000, ...limits }, backing)

export const texts = (messages: readonly { text: string }[]): string[] => messages.map(({ text }) => text)
export const numbered = (prefix: string, count: number): string[] => Array.from({ length: count }, (_unused, index) => `${prefix}${index}`)

/** Everything the store holds of the stream. */
export async function stored({ inner, epoch }: Pair): Promise<{ seq: number; topic: string; text: string; pos: string }[]> {
  const buckets = await inner.read(stream, { from: 1, to: Infinity, bytesMax: Infinity })
  return buckets.flatMap((bucket) =>
    Array.from({ length: bucket.count }, (_unused, index) => {
      const seq = bucket.firstSeq + index
      return { seq, topic: bucket.topic(index), text: bucket.payload(index).toString(), pos: formatPosition(epoch, seq, bucket.mark) }
    }),
  )
}

export async function headOf(pair: Pair): Promise<string> {
  return (await stored(pair)).at(-1)?.pos ?? ''
}

/** The next PUBLISH packets, however long a busy machine takes. */
export async function receive(client: RawClient, count: number): Promise<Message[]> {
  const messages: Message[] = []
  while (messages.length < count) {
    const packet = await client.expect(({ cmd }) => cmd === 'publish', `PUBLISH ${messages.length + 1} of ${count}`, longMs)
    messages.push(toMessage(packet as IPublishPacket))
  }
  return messages
}

/** The next control message of a kind, for a sync filter. */
export async function control(client: RawClient, ctl: string): Promise<Json> {
  const isIt = (packet: { cmd: string }): boolean => {
    if (packet.cmd !== 'publish') return false
    const message = toMessage(packet as IPublishPacket)
    return message.topic.endsWith('/$ctl') && (JSON.parse(message.text) as Json)['ctl'] === ctl
  }
  return JSON.parse(toMessage((await client.expect(isIt, ctl, longMs)) as IPublishPacket).text) as Json
}

export async function put(client: RawClient, id: string, json: Json, at = topic): Promise<Json> {
  const messageId = client.publishNow(`put/${at}`, JSON.stringify({ id, ...json }))
  const reply = await client.expect(
    (packet) => packet.cmd === 'publish' && packet.topic.startsWith('reply/') && packet.topic.endsWith(`/${id}`),
    `the reply to ${id}`,
    longMs,
  )
  await client.expect((packet) => packet.cmd === 'puback' && packet.messageId === messageId, `the PUBACK of ${id}`, longMs)
  return JSON.parse(toMessage(reply as IPublishPacket).text) as Json
}

export async function publishAll(client: RawClient, all: readonly string[], at = topic): Promise<void> {
  const ids = all.map((text) => client.publishNow(at, text))
  for (const id of ids) await client.expect((packet) => packet.cmd === 'puback' && packet.messageId === id, `PUBACK ${id}`, longMs)
}
