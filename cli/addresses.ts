/** Where the server listens, and where clients are told to find it. */
import type { Config } from './config.ts'

/** The ports taken. */
export interface Ports {
  readonly mqtt: number
  readonly http: number
  /** Undefined without TLS. */
  readonly mqtts: number | undefined
}

export interface Addresses {
  readonly host: string
  readonly ports: Ports
  readonly mqttUrl: string
  readonly mqttsUrl: string | undefined
  readonly wsUrl: string
  readonly httpUrl: string
  /** What clients are told in token exchange. */
  readonly publicMqttUrl: string
  readonly publicHttpUrl: string
}

export function addressesOf(config: Config, ports: Ports): Addresses {
  const { host } = config
  const name = reachable(host)
  const mqttUrl = `mqtt://${name}:${ports.mqtt}`
  const mqttsUrl = ports.mqtts === undefined ? undefined : `mqtts://${name}:${ports.mqtts}`
  const httpUrl = `http://${name}:${ports.http}`
  return {
    host,
    ports,
    mqttUrl,
    mqttsUrl,
    wsUrl: `ws://${name}:${ports.http}/mqtt`,
    httpUrl,
    publicMqttUrl: config.publicMqttUrl ?? mqttsUrl ?? mqttUrl,
    publicHttpUrl: config.publicHttpUrl ?? httpUrl,
  }
}

/** The host as it stands in a URL; a listener on every address is reached at localhost, from here. */
function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '::') return 'localhost'
  return host.includes(':') ? `[${host}]` : host
}
