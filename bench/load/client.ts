/** An MQTT client: the handshake, and then whatever its kind does with the packets that come. */
import { inbox } from './inbox.ts'
import { connectPacket, disconnectPacket, packetType, subscribePacket, type ConnectFields } from './packets.ts'
import type { PacketSink, Wire } from './wire.ts'

const answerTimeoutMs = 60_000
const filtersPerSubscribe = 8

/** CONNACK and its fields. */
export interface Admission {
  readonly sessionPresent: boolean
}

export class Client implements PacketSink {
  readonly wire: Wire
  /** Called once if the connection ends before `leave` or `cut`. */
  onLost: (error: Error) => void = () => {}
  #waiting: { type: number; resolve: (answer: number[]) => void; reject: (error: Error) => void } | undefined
  #lostWith: Error | undefined
  #left = false

  constructor(wire: Wire) {
    this.wire = wire
    wire.sink = this
  }

  /** Sends CONNECT; resolves with what CONNACK says, rejects where it refuses. */
  async connect(fields: ConnectFields): Promise<Admission> {
    const [acknowledgeFlags, returnCode] = await this.#ask(connectPacket(fields), packetType.connack)
    if (returnCode !== 0) throw new Error(`the server refuses ${fields.clientId}: CONNACK ${returnCode}`)
    return { sessionPresent: ((acknowledgeFlags as number) & 1) === 1 }
  }

  subscribe(filter: string, qos: 0 | 1): Promise<void> {
    return this.subscribeAll([filter], qos)
  }

  /** So many at a time as a server of ours takes. */
  async subscribeAll(filters: readonly string[], qos: 0 | 1): Promise<void> {
    for (let from = 0; from < filters.length; from += filtersPerSubscribe) {
      const some = filters.slice(from, from + filtersPerSubscribe)
      const [, , ...granted] = await this.#ask(subscribePacket(1, some, qos), packetType.suback)
      const refused = some.filter((_filter, at) => ((granted[at] ?? 0x80) & 0x80) !== 0)
      if (refused.length > 0) throw new Error(`the server refuses the filter ${refused.join(', ')}`)
    }
  }

  /** Says goodbye. */
  leave(): void {
    if (this.#lostWith || this.#left) return
    this.#left = true
    this.wire.put(disconnectPacket)
    this.wire.close()
  }

  packet(firstByte: number, body: number, end: number, arrivedMicros: number): void {
    const type = firstByte >> 4
    if (type === packetType.connack || type === packetType.suback) {
      if (this.#waiting?.type === type) this.#waiting.resolve([...inbox.subarray(body, end)])
    } else {
      this.message(firstByte, body, end, arrivedMicros)
    }
  }

  turnEnded(_nowMicros: number): void {}

  lost(error: Error): void {
    this.#lostWith = error
    if (this.#waiting) this.#waiting.reject(error)
    else this.onLost(error)
  }

  /** A packet that is no answer to CONNECT or SUBSCRIBE. */
  protected message(_firstByte: number, _body: number, _end: number, _arrivedMicros: number): void {}

  async #ask(packet: Buffer, type: number): Promise<number[]> {
    if (this.#lostWith) throw this.#lostWith
    let timer: NodeJS.Timeout | undefined
    try {
      return await new Promise<number[]>((resolve, reject) => {
        this.#waiting = { type, resolve, reject }
        timer = setTimeout(
          () => reject(new Error(`no ${type === packetType.connack ? 'CONNACK' : 'SUBACK'} within ${answerTimeoutMs} ms`)),
          answerTimeoutMs,
        )
        this.wire.put(packet)
        this.wire.flush()
      })
    } finally {
      clearTimeout(timer)
      this.#waiting = undefined
    }
  }
}
