/** One MQTT connection of a client command, with refusals as sentences. Nothing reconnects by itself. */
import { randomUUID } from 'node:crypto'
import mqtt, { type IConnackPacket, type MqttClient } from 'mqtt'
import { SyncError } from '../protocol/errors.ts'
import { unreachable } from './doctor/unreachable.ts'
import type { Target } from './target.ts'

const connectTimeoutMs = 10_000

export interface MqttSession {
  readonly client: MqttClient
  /** As it stands in topics: these ids need no encoding. */
  readonly clientId: string
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>
}

/** Connects. Rejects with `unauthorized` or `forbidden` where the token is refused, otherwise with `store-unavailable`. */
export async function connectMqtt(target: Target): Promise<MqttSession> {
  const password = await target.token()
  const clientId = `cli-${randomUUID().slice(0, 13)}`
  const client = mqtt.connect(target.url, {
    clientId,
    username: 'cli',
    password,
    clean: true,
    protocolVersion: 4,
    reconnectPeriod: 0,
    connectTimeout: connectTimeoutMs,
    resubscribe: false,
  })
  const closed = new Promise<void>((resolve) => void client.once('close', resolve))
  await new Promise<void>((resolve, reject) => {
    client.once('connect', (_connack: IConnackPacket) => resolve())
    client.once('error', (error) => reject(refusal(target.url, error)))
    client.once('close', () => reject(new SyncError('store-unavailable', `${target.url} closed the connection before it was made`)))
  })
  client.on('error', () => {}) // From here on what counts is that the connection is closed.
  return { client, clientId, closed }
}

/** Ends the connection and waits for it. */
export async function disconnect({ client }: MqttSession): Promise<void> {
  await client.endAsync()
}

function refusal(url: string, error: Error & { code?: number | string }): SyncError {
  const { code } = error
  if (code === 4) return new SyncError('unauthorized', `${url} refuses the token: it is not valid, has expired or is of another server`)
  if (code === 5) return new SyncError('forbidden', `${url} refuses the token for this client`)
  if (code === 3) return new SyncError('store-unavailable', `${url} takes no connections at the moment`)
  const { message, advice } = unreachable(url, error)
  return new SyncError('store-unavailable', `${url} cannot be reached: ${message}; ${advice}`, {}, error)
}
