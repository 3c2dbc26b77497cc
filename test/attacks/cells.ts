/** What the table of attacks is made of: rows, their doors, and what a cell may use. */
import { createWebSocketStream, WebSocket } from 'ws'
import type { ErrorCode } from '../../protocol/errors.ts'
import { RawClient, type ConnectOptions } from '../support/raw-mqtt.ts'
import { within } from '../support/waiting.ts'
import type { World } from './world.ts'

export type MqttDoor = 'tcp' | 'websocket'
export type Door = MqttDoor | 'http'
export const doors: readonly Door[] = ['tcp', 'websocket', 'http']

/** Runs the attack, and throws unless the spec's answer came. */
export type Run = (attack: Attacker) => Promise<void>
/** A sentence why the door cannot be attacked so. */
export type NotApplicable = string
export type Cell = Run | NotApplicable

/** Every door has its cell: a run, or the reason for none. */
export interface Attack extends Readonly<Record<Door, Cell>> {
  readonly name: string
  readonly clauses: readonly string[]
  /** What the refusal is counted and logged as; where it differs by door, per door; undefined: nothing is refused, but nothing gained either. */
  readonly code: ErrorCode | undefined | Readonly<Partial<Record<Door, ErrorCode>>>
  /** The door of the count where it is not the one attacked. */
  readonly countedAt?: string
}

/** One run for both listeners of MQTT. */
export function mqtt(run: Run): Pick<Attack, MqttDoor> {
  return { tcp: run, websocket: run }
}

export function noMqtt(reason: NotApplicable): Pick<Attack, MqttDoor> {
  return { tcp: reason, websocket: reason }
}

export interface Answer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
  readonly headers: Headers
}

export interface Ask {
  readonly token?: string | undefined
  readonly json?: unknown
  readonly body?: string | Uint8Array<ArrayBuffer>
  readonly form?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly method?: string
  readonly server?: 'main' | 'dev'
}

let clients = 0

/** What one cell attacks with. It remembers everything that came back, and every token it has shown. */
export class Attacker {
  readonly world: World
  readonly door: Door
  readonly #connections: RawClient[] = []
  readonly #answers: string[] = []

  constructor(world: World, door: Door) {
    this.world = world
    this.door = door
  }

  /** A connection to the door's listener, nothing sent. */
  async open(server: 'main' | 'dev' = 'main', headers: Readonly<Record<string, string>> = {}): Promise<RawClient> {
    const { ports } = this.world[server]
    const client =
      this.door === 'tcp' ? await RawClient.open(ports.mqtt) : await openWebSocket(`ws://127.0.0.1:${ports.http}/mqtt`, headers)
    this.#connections.push(client)
    return client
  }

  /** A connected client with this token; throws unless it was let in. */
  async client(token: string | undefined, options: ConnectOptions = {}, server: 'main' | 'dev' = 'main'): Promise<RawClient> {
    const client = await this.open(server)
    const connack = await client.connect({
      clientId: `attacker-${clients++}`,
      ...(token === undefined ? {} : { password: token }),
      ...options,
    })
    if (connack.returnCode !== 0) throw new Error(`the attacker's own CONNECT was refused with ${connack.returnCode}`)
    return client
  }

  /** The return code of a CONNECT. */
  async connack(options: ConnectOptions, server: 'main' | 'dev' = 'main'): Promise<number> {
    const client = await this.open(server)
    const { returnCode } = await client.connect({ clientId: `attacker-${clients++}`, ...options })
    if (returnCode !== 0) await client.gone('after its refusal')
    return returnCode as number
  }

  async http(path: string, { token, json, body, form, headers, method, server = 'main' }: Ask = {}): Promise<Answer> {
    const content = json === undefined ? (form ? new URLSearchParams(form).toString() : body) : JSON.stringify(json)
    const type = json === undefined ? (form ? 'application/x-www-form-urlencoded' : undefined) : 'application/json'
    const response = await fetch(this.world[server].urls.http + path, {
      method: method ?? (content === undefined ? 'GET' : 'POST'),
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(type === undefined ? {} : { 'content-type': type }),
        ...headers,
      },
      ...(content === undefined ? {} : { body: content }),
    })
    const text = await response.text()
    this.#answers.push(text)
    const isJson = response.headers.get('content-type')?.includes('json') ?? false
    return { status: response.status, headers: response.headers, body: isJson ? (JSON.parse(text) as Record<string, unknown>) : {} }
  }

  /** Remembers an answer that came by another way. */
  saw(text: string): void {
    this.#answers.push(text)
  }

  /** Everything written to the attacker before this resolves has arrived; then all payloads it ever got. */
  async loot(): Promise<string> {
    await Promise.all(this.#connections.filter((client) => !client.isClosed).map((client) => client.ping()))
    const messages = this.#connections.flatMap((client) => client.inbox.all)
    const payloads = messages.map((packet) => (packet.cmd === 'publish' ? `${packet.topic} ${packet.payload.toString()}` : ''))
    return [...payloads, ...this.#answers].join('\n')
  }

  /** How often this was heard on the wire. */
  get publishes(): number {
    return this.#connections.flatMap((client) => client.inbox.all).filter(({ cmd }) => cmd === 'publish').length
  }

  end(): void {
    for (const client of this.#connections) client.destroy()
  }
}

async function openWebSocket(url: string, headers: Readonly<Record<string, string>>): Promise<RawClient> {
  const webSocket = new WebSocket(url, 'mqtt', { headers })
  const stream = createWebSocketStream(webSocket)
  stream.on('error', () => {})
  // It would wait for us to end our side.
  stream.on('end', () => stream.destroy())
  await within(new Promise((resolve, reject) => webSocket.once('open', resolve).once('error', reject)), `a WebSocket to ${url}`)
  return new RawClient(stream)
}
