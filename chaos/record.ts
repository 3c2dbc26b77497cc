/**
 * What was done and seen, as JSON lines: the only thing that the checker reads. Times are ms of one monotonic clock of the
 * process that runs the clients. A message has a number for ever; its payload is `m{number}` and a filler.
 */
import { createWriteStream, type WriteStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { once } from 'node:events'

/** An entry as a reader saw it: position, id, ts, from, client, topic, payload as text, and `r` for retained, `d` for a deletion. */
export type Sighting = readonly [
  pos: string,
  id: string,
  ts: number,
  from: string,
  client: string,
  topic: string,
  text: string,
  flags: '' | 'r' | 'd',
]

/** `aws-iot` is the embedded store with AWS IoT Core's stand-in before the server: the path is another one, and so are its faults. */
export type StoreKind = 'mongo' | 'mongo-stub' | 'level' | 'aws-iot'

/** `aws` is the plain door of AWS IoT Core at QoS 1: nobody is told where the message stands, and it may stand there twice. */
export type Door = 'qos0' | 'qos1' | 'qos2' | 'put' | 'http' | 'will' | 'aws'

export interface RunEvent {
  readonly k: 'run'
  readonly t: number
  readonly seed: number
  readonly minutes: number
  readonly nodes: number
  readonly store: StoreKind
  /** What the faults of this round are about. */
  readonly theme?: string
  readonly planted: string | null
}

/** One attempt to publish a message; the first one tells what it is. */
export interface SendEvent {
  readonly k: 'send'
  readonly t: number
  readonly m: number
  /** The connection, for the order within it; every HTTP request is one. */
  readonly conn: number
  readonly door: Door
  readonly user: string
  /** With `…` at its end: the SDK adds to it. */
  readonly client: string
  readonly stream: string
  readonly topic: string
  /** Empty for a deletion. */
  readonly text: string
  readonly retain: boolean
  /** The entry id, where one was given. */
  readonly id?: string
  readonly if?: string
  /** Nothing may come of it: the grant is missing. */
  readonly forbidden?: boolean
}

/** The server said that the message stands. */
export interface AckedEvent {
  readonly k: 'acked'
  readonly t: number
  readonly m: number
  readonly conn: number
  readonly pos?: string
  readonly duplicate?: boolean
}

/** AWS IoT Core said that it has the message: it must come into the log, sooner or later. */
export interface TakenEvent {
  readonly k: 'taken'
  readonly t: number
  readonly m: number
  readonly conn: number
}

/** The server said that nothing was appended. */
export interface RefusedEvent {
  readonly k: 'refused'
  readonly t: number
  readonly m: number
  readonly conn: number
  readonly code: string
  /** Of a conflict: the position of the entry that stands there, or null. */
  readonly current?: string | null
}

/** What becomes of a message that is not published by a publish: `armed` at CONNACK, `disarmed` by DISCONNECT. */
export interface WillEvent {
  readonly k: 'will'
  readonly t: number
  readonly m: number
  readonly what: 'armed' | 'disarmed' | 'ended'
}

/** A sync subscription or one connection of a plain client begins; `t` is before the packet was sent. */
export interface OpenEvent {
  readonly k: 'open'
  readonly t: number
  readonly sub: number
  /** `sdk`: without control messages, from the first entry or behind a position. */
  readonly door: 'sync' | 'plain' | 'sdk'
  readonly node: number
  readonly reader: string
  readonly user: string
  /** Of a sync subscription. */
  readonly stream?: string
  readonly filter?: string
  readonly from?: string
  /** Of a plain connection. */
  readonly clean?: boolean
  readonly present?: boolean
  /** When CONNACK came. */
  readonly served?: number
  readonly final?: boolean
}

/** A plain SUBSCRIBE was sent at `call` and answered at `t`; with the code -1 it was sent, and may have come into force unanswered. */
export interface SubscribedEvent {
  readonly k: 'subscribed'
  readonly t: number
  readonly call: number
  readonly sub: number
  readonly filter: string
  readonly code: number
}

export interface GotEvent {
  readonly k: 'got'
  readonly t: number
  readonly sub: number
  readonly e: Sighting
}

/** A message that is not logged came on the sync door. */
export interface LiveEvent {
  readonly k: 'live'
  readonly t: number
  readonly sub: number
  readonly topic: string
  readonly text: string
}

export interface ControlEvent {
  readonly k: 'ctl'
  readonly t: number
  readonly sub: number
  readonly ctl: string
  readonly reason?: string
  readonly pos?: string
  readonly head?: string
  readonly first?: string
}

export interface PlainEvent {
  readonly k: 'plain'
  readonly t: number
  readonly sub: number
  readonly topic: string
  readonly text: string
  readonly dup: boolean
  readonly retain: boolean
}

/** Another connection with the same client id is served. */
export interface ReplacedEvent {
  readonly k: 'replaced'
  readonly t: number
  readonly sub: number
}

/** A kept session is asked for no more: nobody could say whether it is still the same. */
export interface AbandonedEvent {
  readonly k: 'abandoned'
  readonly t: number
  readonly reader: string
}

export interface OverEvent {
  readonly k: 'over'
  readonly t: number
  readonly sub: number
}

/** A page of history, or of state where `state` is true; `t` is when it was there. */
export interface PageEvent {
  readonly k: 'page'
  readonly t: number
  readonly call: number
  readonly node: number
  readonly stream: string
  readonly state?: boolean
  readonly after?: string
  readonly before?: string
  readonly reverse?: boolean
  /** Times of the server's clock, ms. */
  readonly since?: number
  readonly until?: number
  readonly entries: readonly Sighting[]
  readonly next: string
  readonly head: string
  readonly first: string
  readonly upToDate: boolean
  readonly final?: boolean
}

/** HTTP said that a position cannot be served. */
export interface GoneEvent {
  readonly k: 'gone'
  readonly t: number
  readonly call: number
  readonly node: number
  readonly stream: string
  readonly after: string
  readonly reason: string
  readonly head: string
  readonly first: string
}

/** A revocation of a uid was in force, as the server said, at `t`. */
export interface RevokedEvent {
  readonly k: 'revoked'
  readonly t: number
  readonly call: number
  readonly uid: string
}

/** A member was withdrawn from a space, as the server said. */
export interface WithdrawnEvent {
  readonly k: 'withdrawn'
  readonly t: number
  readonly call: number
  readonly uid: string
  readonly stream: string
  readonly pos: string
}

export interface FaultEvent {
  readonly k: 'fault'
  readonly t: number
  readonly what: string
  /** For how long from `t` on servers may be kept from doing, or from hearing of something. */
  readonly slowMs?: number
  /** A stream was trimmed to begin here, or was asked to. */
  readonly trimmed?: { readonly stream: string; readonly first: number }
}

/** Everything was mended and given its time: whatever is missing now is lost. */
export interface SettledEvent {
  readonly k: 'settled'
  readonly t: number
  /** What was waited for in vain. */
  readonly missing: readonly string[]
  /** The run ended before the log was read again: of what is missing nothing can be said. */
  readonly early?: boolean
}

export type Event =
  | RunEvent
  | SendEvent
  | AckedEvent
  | TakenEvent
  | RefusedEvent
  | WillEvent
  | OpenEvent
  | SubscribedEvent
  | GotEvent
  | LiveEvent
  | ControlEvent
  | PlainEvent
  | ReplacedEvent
  | OverEvent
  | AbandonedEvent
  | PageEvent
  | GoneEvent
  | RevokedEvent
  | WithdrawnEvent
  | FaultEvent
  | SettledEvent

type Timeless<E> = E extends unknown ? Omit<E, 't'> & { readonly t?: number } : never

export class Recorder {
  readonly #file: WriteStream
  readonly #listeners: ((event: Event) => void)[] = []

  constructor(path: string) {
    this.#file = createWriteStream(path)
  }

  now(): number {
    return Math.round(performance.now() * 1000) / 1000
  }

  /** Writes the event, with the time of this moment unless it has one; returns the time. */
  add(event: Timeless<Event>): number {
    const t = event.t ?? this.now()
    const timed = { ...event, t } as Event
    this.#file.write(`${JSON.stringify(timed)}\n`)
    for (const listener of this.#listeners) listener(timed)
    return t
  }

  listen(listener: (event: Event) => void): void {
    this.#listeners.push(listener)
  }

  async close(): Promise<void> {
    this.#file.end()
    await once(this.#file, 'close')
  }
}

export async function readRecord(path: string): Promise<Event[]> {
  const lines = (await readFile(path, 'utf8')).split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Event)
}
