/** `tidemark doctor`: does what a client does, and says in words what is wrong. */
import { randomUUID } from 'node:crypto'
import type { Command } from 'commander'
import type { ExchangeResponse } from '../../auth/index.ts'
import { openStream, streamOfTopic } from '../../protocol/topics.ts'
import { checkClock, checkServer } from '../doctor/http-checks.ts'
import { checkMqtt, checkWebSocket } from '../doctor/mqtt-checks.ts'
import { Report, Trouble } from '../doctor/report.ts'
import { checkRoundTrip } from '../doctor/round-trip.ts'
import { checkExchange, checkGrants, checkLimits, checkToken, uidOf, type Place } from '../doctor/token-checks.ts'
import { disconnect } from '../mqtt-session.ts'
import { addTargetOptions, targetOf } from '../target.ts'
import { UsageError } from '../usage-error.ts'

interface DoctorOptions extends Record<string, unknown> {
  readonly url?: string
  readonly mqttUrl?: string
  readonly topic?: string
}

export function define(command: Command): void {
  command
    .option('--mqtt-url <URL>', 'where MQTT is, mqtt or mqtts; default: what the server tells clients')
    .option('--topic <TOPIC>', 'a topic of nobody, to publish and read, and to delete at the end; default one below users/{you}/doctor')
  addTargetOptions(command, 'http')
  command.action(doctor)
}

async function doctor(options: DoctorOptions): Promise<void> {
  const { mqttUrl } = options
  if (mqttUrl !== undefined && !/^mqtts?:\/\/./.test(mqttUrl)) throw new UsageError(`--mqtt-url ${mqttUrl} is no mqtt URL`)
  const target = targetOf(options, 'http')
  const report = new Report((text) => void process.stdout.write(text))
  const server = await report.check('server', () => checkServer(target.url))
  if (server) await report.check('clock', () => checkClock(server))
  const token = await report.check('token', async () => {
    const value = await target.token()
    const { said } = checkToken(value, Date.now() + (server?.aheadMs ?? 0))
    return { said, value }
  })
  const exchanged = server && token !== undefined ? await report.check('exchange', () => checkExchange(target.url, token)) : undefined
  const place = exchanged && (await checkAllowed(report, exchanged, options.topic))
  await checkConnections(report, { target, token, exchanged, place, mqttUrl })
  report.end()
}

async function checkAllowed(report: Report, exchanged: ExchangeResponse, topic: string | undefined): Promise<Place | undefined> {
  await report.check('limits', () => checkLimits(exchanged))
  return await report.check('grants', () => {
    const value = placeOf(topic ?? `users/${uidOf(exchanged)}/doctor/${randomUUID()}`, exchanged)
    return { said: checkGrants(exchanged, value).said, value }
  })
}

interface Connecting {
  readonly target: { readonly url: string; token(): Promise<string> }
  readonly token: string | undefined
  readonly exchanged: ExchangeResponse | undefined
  readonly place: Place | undefined
  readonly mqttUrl: string | undefined
}

async function checkConnections(report: Report, { target, token, exchanged, place, mqttUrl }: Connecting): Promise<void> {
  if (token === undefined) return report.skip('MQTT', 'not tried without a token')
  if (exchanged?.client_id !== undefined) {
    return report.skip('MQTT', `not tried: the token is bound to the client ${exchanged.client_id}, whose connection this would close`)
  }
  const url = mqttUrl ?? exchanged?.mqtt_url
  const told = 'publicMqttUrl in its configuration is what the server tells clients'
  const tcp = url === undefined ? undefined : await report.check('tcp', () => checkMqtt(url, token, told))
  if (url === undefined) report.skip('tcp', 'the exchange would have told where MQTT is; --mqtt-url names it')
  const wsUrl = `${target.url.replace(/^http/, 'ws')}/mqtt`
  const webSocket = await report.check('websocket', () => checkWebSocket(wsUrl, token))
  const session = tcp ?? webSocket
  if (session && place) await report.check('round trip', () => checkRoundTrip(session, { ...target, token: async () => token }, place))
  else report.skip('round trip', 'not tried after what failed')
  for (const open of [tcp, webSocket]) if (open) await disconnect(open)
}

function placeOf(topic: string, { limits }: ExchangeResponse): Place {
  const stream = streamOfTopic(topic, { ...limits, openEnabled: true })
  if (/^(?:outbox|inbox)\//.test(stream))
    throw new Trouble(`${topic} is no topic for state`, 'choose one below users/ or spaces/ with --topic')
  return {
    topic: stream === openStream ? `${openStream}/${topic}` : topic,
    granted: stream === openStream ? `${openStream}/${topic}` : topic,
  }
}
