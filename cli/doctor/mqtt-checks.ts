/** MQTT as clients speak it, over TCP and over WebSocket. */
import { WebSocket } from 'ws'
import { SyncError } from '../../protocol/errors.ts'
import { connectMqtt, type MqttSession } from '../mqtt-session.ts'
import { Trouble, type Found } from './report.ts'
import { stepTimeoutMs, unreachable } from './unreachable.ts'

/** MQTT at `/mqtt` of the HTTP port [P-7.21]. */
export async function checkWebSocket(url: string, token: string): Promise<Found<MqttSession>> {
  await upgrade(url)
  return await checkMqtt(url, token, '--url names the port of HTTP')
}

/** Connects. `told`: what to do where the address that clients are told is not the right one. */
export async function checkMqtt(url: string, token: string, told: string): Promise<Found<MqttSession>> {
  const beganMs = Date.now()
  try {
    const session = await connectMqtt({ url, token: () => Promise.resolve(token) })
    return { said: `${url} takes the token after ${Date.now() - beganMs} ms`, value: session }
  } catch (error) {
    if (!(error instanceof SyncError)) throw error
    if (error.code !== 'store-unavailable')
      throw new Trouble(error.message, 'compare the issuer and audience of the token with the configuration', error)
    if (error.cause === undefined) {
      throw new Trouble(
        error.message,
        'look at the log of the server; where it has no line of it, this is the port of something else',
        error,
      )
    }
    const { message, advice } = unreachable(url, error)
    throw new Trouble(message, `${advice}; ${told}`, error)
  }
}

/** Opens a WebSocket and closes it again: a client of MQTT is not told why it was not opened. */
async function upgrade(url: string): Promise<void> {
  const webSocket = new WebSocket(url, 'mqtt', { handshakeTimeout: stepTimeoutMs })
  try {
    await new Promise<void>((resolve, reject) => {
      webSocket.once('open', resolve)
      webSocket.once('error', (error) => reject(unreachable(url, error)))
      webSocket.once('unexpected-response', (_request, { statusCode }) =>
        reject(
          new Trouble(
            `${url} answers ${statusCode} instead of opening a WebSocket`,
            'let the proxy in front pass upgrades on, and the path /mqtt',
          ),
        ),
      )
    })
  } finally {
    webSocket.on('error', () => {}) // Ending it before it was open is one.
    webSocket.terminate()
  }
}
