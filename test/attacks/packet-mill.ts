/** Packets that are valid, nearly valid, or nothing at all, from a seed. */
import { generate, type QoS } from 'mqtt-packet'

/** Numbers that look random and come again from the same seed (mulberry32). */
export class Dice {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** From 0 to less than 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let value = this.#state
    value = Math.imul(value ^ (value >>> 15), value | 1)
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
    return ((value ^ (value >>> 14)) >>> 0) / 4_294_967_296
  }

  /** From 0 to less than `below`. */
  upTo(below: number): number {
    return Math.floor(this.next() * below)
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  of<Value>(values: readonly Value[]): Value {
    return values[this.upTo(values.length)] as Value
  }

  bytes(count: number): Buffer {
    const bytes = Buffer.allocUnsafe(count)
    for (let at = 0; at < count; at++) bytes[at] = this.upTo(256)
    return bytes
  }
}

/** Whom a mill speaks for. */
export interface MillUser {
  readonly uid: string
  readonly client: string
  readonly token: string
}

export class PacketMill {
  readonly #dice: Dice
  readonly #user: MillUser
  /** Made so far. */
  mutated = 0

  constructor(dice: Dice, user: MillUser) {
    this.#dice = dice
    this.#user = user
  }

  /** A CONNECT that is accepted. */
  connect(): Buffer {
    const { client, token } = this.#user
    return generate({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clientId: client,
      clean: this.#dice.chance(0.9),
      keepalive: 0,
      username: 'x',
      password: Buffer.from(token),
    })
  }

  /** What a connection says that has not been let in: mostly broken CONNECTs. */
  early(): Buffer {
    this.mutated++
    return this.#dice.chance(0.7) ? this.#mutate(this.connect()) : this.#mutate(this.#valid())
  }

  /** What a connection says later: broken inside, broken outside, or valid. */
  late(): Buffer {
    const dice = this.#dice
    if (dice.chance(0.25)) return this.#valid()
    this.mutated++
    return dice.chance(0.8) ? this.#inner() : this.#mutate(this.#valid())
  }

  /** Well-formed packets. */
  #valid(): Buffer {
    const dice = this.#dice
    const { uid, client } = this.#user
    const messageId = 1 + dice.upTo(65_535)
    switch (dice.upTo(9)) {
      case 0:
        return generate({ cmd: 'pingreq' })
      case 1:
        return generate({ cmd: 'puback', messageId })
      case 2:
        return generate({ cmd: 'pubrel', messageId })
      case 3:
        return generate({
          cmd: 'subscribe',
          messageId,
          subscriptions: [{ topic: dice.of(filtersOf(uid, client)), qos: dice.upTo(3) as QoS }],
        })
      case 4:
        return generate({ cmd: 'unsubscribe', messageId, unsubscriptions: [dice.of(filtersOf(uid, client))] })
      case 5:
        return this.#publish(`put/users/${uid}/a`, JSON.stringify({ id: `id-${dice.upTo(1_000)}`, text: 'x' }), 1)
      default:
        return this.#publish(`users/${uid}/${dice.upTo(5)}`, dice.bytes(dice.upTo(200)), dice.upTo(3) as QoS)
    }
  }

  /** Packets of the right form around what is wrong: most leave the connection open. */
  #inner(): Buffer {
    const dice = this.#dice
    const { uid, client } = this.#user
    const messageId = 1 + dice.upTo(65_535)
    switch (dice.upTo(4)) {
      case 0:
        return this.#publish(`put/users/${uid}/a`, this.#brokenJson(), 1)
      case 1:
        return this.#publish('auth/renew', dice.chance(0.5) ? dice.bytes(dice.upTo(100)) : this.#flippedText(this.#user.token), 1)
      case 2: {
        const filter = this.#flippedText(dice.of(filtersOf(uid, client)))
        const text = Buffer.from(filter.replaceAll(/[\0\ufffd]/g, 'x') || 'x')
        return packetOf(0x82, Buffer.from([messageId >> 8, messageId & 255]), lengthOf(text), text, Buffer.from([dice.upTo(3)]))
      }
      default:
        return this.#publish(`users/${uid}/${dice.upTo(5)}`, dice.bytes(dice.upTo(2_000)), dice.upTo(2) as QoS)
    }
  }

  #publish(topic: string, payload: string | Buffer, qos: QoS): Buffer {
    const messageId = 1 + this.#dice.upTo(65_535)
    return generate({
      cmd: 'publish',
      topic,
      payload,
      qos,
      retain: topic.startsWith('users') && this.#dice.chance(0.1),
      dup: false,
      messageId,
    })
  }

  #brokenJson(): string {
    const dice = this.#dice
    const json = dice.of([
      '{"id":"a","data":{"a":[1,2,{"b":null}]}}',
      '{"id":"b","base64":"QUJD","retain":true,"if":"none"}',
      '{"id":"c","text":"x","since":"abcdefgh.1.abcd"}',
      '[[[[[[[[',
    ])
    return this.#flippedText(json)
  }

  #flippedText(text: string): string {
    const dice = this.#dice
    const at = dice.upTo(text.length)
    return text.slice(0, at) + dice.of(['', '"', '}', '#', '/', '+', '$', '~', '\u00e9', 'x', text]) + text.slice(at + dice.upTo(3))
  }

  #mutate(packet: Buffer): Buffer {
    const dice = this.#dice
    switch (dice.upTo(8)) {
      case 0: {
        const flipped = Buffer.from(packet)
        for (let count = 1 + dice.upTo(8); count > 0; count--) {
          const at = dice.upTo(flipped.length)
          flipped[at] = (flipped[at] as number) ^ (1 << dice.upTo(8))
        }
        return flipped
      }
      case 1:
        return packet.subarray(0, dice.upTo(packet.length))
      case 2:
        return Buffer.concat([packet, dice.bytes(1 + dice.upTo(20))])
      case 3: // The length lies.
        return Buffer.concat([packet.subarray(0, 1), dice.of(lies), packet.subarray(2)])
      case 4: {
        const typed = Buffer.from(packet)
        typed[0] = dice.upTo(256)
        return typed
      }
      case 5: {
        const other = this.#valid()
        return Buffer.concat([packet.subarray(0, dice.upTo(packet.length)), other.subarray(dice.upTo(other.length))])
      }
      case 6:
        return dice.bytes(1 + dice.upTo(60))
      default: {
        const written = Buffer.from(packet)
        written.fill(dice.of([0, 0xff, 0x80, 0x7f]), dice.upTo(written.length), Math.min(written.length, dice.upTo(written.length) + 8))
        return written
      }
    }
  }
}

const lies: readonly Buffer[] = [
  [0],
  [1],
  [2],
  [0x7f],
  [0x80, 0],
  [0x80, 0x80, 1],
  [0xff, 0xff, 3],
  [0xff, 0xff, 0xff, 0x7f],
  [0xff, 0xff, 0xff, 0xff, 1],
  [0x80, 0x80, 0x80, 0x80],
].map((bytes) => Buffer.from(bytes))

function filtersOf(uid: string, client: string): readonly string[] {
  return [
    `users/${uid}/#`,
    `users/${uid}/+/1`,
    `sync/users/${uid}/#`,
    `sync@earliest/users/${uid}/#`,
    `sync@snapshot/users/${uid}/#`,
    `sync@abcdefgh.1.abcd/users/${uid}/#`,
    `reply/${client}/#`,
    '#',
    'users/somebody/#',
  ]
}

function packetOf(first: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const length = body.length < 128 ? [body.length] : [(body.length & 127) | 128, body.length >> 7]
  return Buffer.concat([Buffer.from([first, ...length]), body])
}

function lengthOf(text: Buffer): Buffer {
  return Buffer.from([text.length >> 8, text.length & 255])
}
