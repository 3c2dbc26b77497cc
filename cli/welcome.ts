/** What `serve` tells the person in front of it: where to connect, and lines to copy that work as they stand. */
import type { RunningServer } from './server.ts'
import { describeStore } from './store.ts'
import { packageVersion } from './version.ts'

type Served = Pick<RunningServer, 'addresses' | 'config' | 'developmentMode' | 'consoleUrl'>

/** One line for programs that wait for the server. */
export function readyLine({ addresses: { host, ports } }: Served): string {
  const name = host.includes(':') ? `[${host}]` : host
  const mqtts = ports.mqtts === undefined ? '' : ` mqtts=${name}:${ports.mqtts}`
  const mqtt = ports.mqtt === undefined ? '' : ` mqtt=${name}:${ports.mqtt}${mqtts} ws=${name}:${ports.http}/mqtt`
  return `tidemark ready${mqtt} http=${name}:${ports.http}`
}

export function welcome(server: Served): string {
  const { addresses, config, developmentMode, consoleUrl } = server
  const lines = [
    `Tidemark ${packageVersion()}`,
    '',
    `  MQTT       ${addresses.mqttUrl}`,
    ...(addresses.mqttsUrl === undefined ? [] : [`  TLS        ${addresses.mqttsUrl}`]),
    ...(addresses.wsUrl === undefined ? [] : [`  WebSocket  ${addresses.wsUrl}`]),
    `  HTTP       ${addresses.httpUrl}`,
    `  console    ${consoleUrl}`,
    `  store      ${describeStore(config)}`,
    '',
    ...(developmentMode && addresses.wsUrl !== undefined ? developmentLines(server) : clientLines(server)),
  ]
  return lines.join('\n')
}

function clientLines({ config, developmentMode }: Served): string[] {
  const whose = developmentMode ? '`npx tidemark token`' : issuerNames(config)
  if (config.engine === 'aws-iot')
    return [`AWS IoT Core carries MQTT: clients exchange a token of ${whose} for a way in (docs/AWS.md).`, '']
  return [`Clients show a token of ${whose} as MQTT password.`, '']
}

function developmentLines({ addresses, config }: Served): string[] {
  const { data, audience, host } = config
  const { ports } = addresses
  const tokenFlags = [
    ...(data === './data' ? [] : ['--data', quoted(data)]),
    ...(audience === 'tidemark' ? [] : ['--audience', quoted(audience)]),
  ]
  const token = ['npx tidemark token alice', ...tokenFlags].join(' ')
  const at = [...(isLocal(host) ? [] : [`-h ${host}`]), ...(ports.mqtt === 1883 ? [] : [`-p ${ports.mqtt}`])]
    .map((flag) => `${flag} `)
    .join('')
  const http = `${isLocal(host) ? 'localhost' : new URL(addresses.httpUrl).hostname}:${ports.http}`
  const bracketed = http.startsWith('[') ? '-g ' : '' // curl takes brackets for a pattern.
  return [
    'Development mode: no issuer is configured. Everything listens on this machine only, and whoever can read',
    `${data}/dev-key, or has the link to the console above, can make tokens for any user.`,
    '',
    'Lines to copy, in this folder:',
    '',
    `  TOKEN=$(${token})`,
    `  mosquitto_sub ${at}-i phone -c -q 1 -u alice -P "$TOKEN" -t 'users/alice/#' -v`,
    `  mosquitto_pub ${at}-q 1 -u alice -P "$TOKEN" -t users/alice/notes/1 -m hello`,
    `  curl ${bracketed}-H "Authorization: Bearer $TOKEN" ${http}/v1/streams/users/alice/entries`,
    `  mosquitto_sub ${at}-q 1 -u alice -P "$TOKEN" -t 'sync@earliest/users/alice/#' -v`,
    '',
  ]
}

/** What `localhost` finds without being told more. */
function isLocal(host: string): boolean {
  return host === 'localhost' || host === '127.0.0.1'
}

function issuerNames({ issuers }: Served['config']): string {
  return issuers.map(({ issuer }) => issuer).join(' or ')
}

function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
