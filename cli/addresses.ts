/** Where the server listens, and where clients are told to find it. */
import type { Config } from './config.ts'

/** The ports taken. */
export interface Ports {
  /** Undefined where AWS IoT Core carries MQTT. */
  readonly mqtt: number | undefined
  readonly http: number
  /** Undefined without TLS. */
  readonly mqtts: number | undefined
}

export interface Addresses {
  readonly host: string
  readonly ports: Ports
  /** Where AWS IoT Core carries MQTT, its endpoint: nobody gets in by that alone. */
  readonly mqttUrl: string
  readonly mqttsUrl: string | undefined
  /** Undefined where AWS IoT Core carries MQTT. */
  readonly wsUrl: string | undefined
  readonly httpUrl: string
  /** What clients are told in token exchange. */
  readonly publicMqttUrl: string
  readonly publicHttpUrl: string
}

export function addressesOf(config: Config, ports: Ports): Addresses {
  const { host } = config
  const name = reachable(host)
  const mqttUrl = ports.mqtt === undefined ? awsUrl(config) : `mqtt://${name}:${ports.mqtt}`
  const mqttsUrl = ports.mqtts === undefined ? undefined : `mqtts://${name}:${ports.mqtts}`
  const httpUrl = `http://${name}:${ports.http}`
  return {
    host,
    ports,
    mqttUrl,
    mqttsUrl,
    wsUrl: ports.mqtt === undefined ? undefined : `ws://${name}:${ports.http}/mqtt`,
    httpUrl,
    publicMqttUrl: config.publicMqttUrl ?? mqttsUrl ?? mqttUrl,
    publicHttpUrl: config.publicHttpUrl ?? httpUrl,
  }
}

function awsUrl({ awsIot }: Config): string {
  const endpoint = awsIot?.endpoint ?? ''
  return `${endpoint.startsWith('ws://') ? endpoint : `wss://${endpoint}`}/mqtt`
}

/** The host as it stands in a URL; a listener on every address is reached at localhost, from here. */
function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '::') return 'localhost'
  return host.includes(':') ? `[${host}]` : host
}
