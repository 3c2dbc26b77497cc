/** Settings that are fine one by one and cannot work together. */
import { checkAwsIotConfig } from '../auth/aws-iot/config.ts'
import { redisServer } from '../hints/redis-server.ts'
import { asSyncError, SyncError } from '../protocol/errors.ts'
import { mqttsPortDefault, type Config } from './config-schema.ts'

/** Throws `bad-request` naming the settings, where they came from, and the way out. */
export function checkCombinations(config: Config, sourceOf: (key: string) => string): void {
  const named = (key: string): string => `${key} (${sourceOf(key)})`
  for (const check of checks) {
    const problem = check(config, named)
    if (problem !== undefined) throw new SyncError('bad-request', problem)
  }
}

/** Whether only this machine can reach a listener at the host. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host)
}

/** MongoDB's own bound on a document is 16 MiB. */
const mongoBytesMax = 15 * 1024 * 1024

type Check = (config: Config, named: (key: string) => string) => string | undefined

const checks: readonly Check[] = [
  ({ host, issuers }, named) =>
    issuers.length === 0 && !isLoopback(host)
      ? `${named('host')}: "${host}" can be reached from elsewhere, and without issuers the server is in development mode, which listens on 127.0.0.1, ::1 or localhost only`
      : undefined,
  ({ anonymous, issuers }, named) =>
    anonymous && issuers.length > 0
      ? `${named('anonymous')} is for development mode only: leave it out, or leave out ${named('issuers')}`
      : undefined,
  ({ anonymous, open }, named) =>
    anonymous && !open ? `${named('anonymous')} lets clients use the stream open, which is off: add open, or leave it out` : undefined,
  ({ certFile, keyFile }, named) =>
    (certFile === undefined) === (keyFile === undefined)
      ? undefined
      : `${named(certFile === undefined ? 'keyFile' : 'certFile')} needs ${certFile === undefined ? 'certFile' : 'keyFile'}: MQTT over TLS takes both`,
  ({ certFile, mqttsPort }, named) =>
    certFile === undefined && mqttsPort !== mqttsPortDefault
      ? `${named('mqttsPort')} needs certFile and keyFile: without them there is no MQTT over TLS`
      : undefined,
  ({ hints }, named) => (hints === undefined || isRedisUrl(hints) ? undefined : `${named('hints')} is no URL that can be read`),
  ({ corsOrigins, issuers }, named) =>
    corsOrigins.length > 0 && issuers.length === 0
      ? `${named('corsOrigins')} needs issuers: in development mode only pages of the server's own host are admitted`
      : undefined,
  ({ allowedHosts, issuers }, named) =>
    allowedHosts.length > 0 && issuers.length === 0
      ? `${named('allowedHosts')} needs issuers: in development mode the Host header must be localhost, 127.0.0.1 or [::1]`
      : undefined,
  ({ awsIot }, named) => {
    if (awsIot === undefined) return undefined
    try {
      checkAwsIotConfig(awsIot)
      return undefined
    } catch (error) {
      return `${named('awsIot')}: ${asSyncError(error).message.replace(/^configuration of tokens: awsIot[. ]/, '')}`
    }
  },
  ({ engine, awsIot }, named) =>
    engine === 'aws-iot' && awsIot?.bridgeRoleArn === undefined
      ? `${named('engine')} is aws-iot and needs ${named('awsIot')} with bridgeRoleArn`
      : undefined,
  ({ engine, certFile }, named) =>
    engine === 'aws-iot' && certFile !== undefined
      ? `${named('certFile')} is for MQTT over TLS, which AWS carries where ${named('engine')} is aws-iot`
      : undefined,
  ({ awsIot, open }, named) =>
    awsIot !== undefined && open
      ? `${named('awsIot')} and ${named('open')} exclude each other: below a root every topic belongs to a stream`
      : undefined,
  ({ store, limits }, named) => {
    if (!store.startsWith('mongodb')) return undefined
    const key = (['bucketBytesMax', 'payloadBytesMax', 'snapshotChunkBytesMax', 'idWindowBytesMax'] as const).find(
      (name) => limits[name] > mongoBytesMax,
    )
    return key && `${named(`limits.${key}`)} is ${limits[key]}: a MongoDB stores at most ${mongoBytesMax} bytes together`
  },
  (config, named) => {
    const ports = config.certFile === undefined ? (['mqttPort', 'httpPort'] as const) : (['mqttPort', 'httpPort', 'mqttsPort'] as const)
    for (const [at, key] of ports.entries()) {
      const other = ports.slice(at + 1).find((another) => config[another] === config[key] && config[key] !== 0)
      if (other) return `${named(key)} and ${named(other)} are both ${config[key]}: every listener needs a port of its own`
    }
    return undefined
  },
]

function isRedisUrl(url: string): boolean {
  try {
    redisServer(url)
    return true
  } catch {
    return false
  }
}
