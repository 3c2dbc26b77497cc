/** A server under test: a child process with a folder of its own. */
import type { Credentials } from '../load/packets.ts'

/** What a user of the server may do beyond its own topics. */
export interface Rights {
  readonly spaces?: Readonly<Record<string, 'read' | 'write' | 'own'>>
  readonly grants?: readonly string[]
}

export interface Broker {
  readonly name: string
  readonly pid: number
  readonly mqttUrl: string
  /** Undefined where this server has no WebSocket. */
  readonly wsUrl: string | undefined
  readonly httpUrl: string | undefined
  /** From the start of the process until it served. */
  readonly readyMs: number
  /** Credentials of `bench-{from}` to `bench-{from + count - 1}`; none where the server asks for none. */
  credentials(count: number, rights?: Rights): Promise<Credentials[]>
  /** Collects the garbage where there is a collector that can be asked. */
  collectGarbage(): Promise<void>
  /** Ends it without warning and starts it again on the same ports and data. */
  restart(): Promise<void>
  stop(): Promise<void>
}
