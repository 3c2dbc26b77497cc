/**
 * Every setting of the server, once: from here come its type, default, check, flag, variable, help and row in the docs.
 * A setting `mqttPort` has the flag `--mqtt-port` and the variable `TIDEMARK_MQTT_PORT`.
 */
import { Type, type Static, type TObject, type TSchema } from 'typebox'
import { defaultLimits, revocationDelayMs, tokenAgeMaxMs, type Limits } from '../seams/limits.ts'

export const mqttsPortDefault = 8883
const timerMsMax = 2 ** 31 - 1

/** 0 means off, none or at once for these; every other limit is at least 1. */
const mayBeZero: ReadonlySet<string> = new Set<keyof Limits>([
  'commitPauseMs',
  'lingerMs',
  'connectionsPerUserMax',
  'sessionsPerUserMax',
  'newStreamsPerUserPerHourMax',
  'relayPerSecondMax',
  'relayBytesMax',
])

/** What MQTT, the form of a bucket or a fixed bound does not allow to be exceeded. */
const ceilings: Partial<Record<keyof Limits, number>> = {
  streamTopicBytesMax: 65_535,
  topicBytesMax: 65_535,
  clientIdBytesMax: 65_535,
  packetBytesMax: 268_435_455,
  // What `ws` can count to.
  webSocketMessageBytesMax: 2 ** 31 - 1,
  payloadBytesMax: 268_435_455,
  controlPacketBytesMax: 268_435_455,
  inflightMax: 65_535,
  qos2OpenMax: 65_535,
  bucketEntriesMax: 65_535,
  revocationPollMs: revocationDelayMs / 2,
  // A timer of three times as long must be possible.
  hintsCheckMs: Math.floor(timerMsMax / 3),
}

const limitSchemas = Object.fromEntries(
  Object.entries(defaultLimits).map(([name, value]) => {
    const timer = name.endsWith('Ms') && value <= timerMsMax ? timerMsMax : undefined
    const maximum = ceilings[name as keyof Limits] ?? timer ?? Number.MAX_SAFE_INTEGER
    return [name, Type.Integer({ default: value, minimum: mayBeZero.has(name) ? 0 : 1, maximum })]
  }),
) as Record<keyof Limits, ReturnType<typeof Type.Integer>>

const issuerSchema = Type.Object(
  {
    issuer: Type.String({ minLength: 1 }),
    prefix: Type.Optional(Type.String()),
    algorithms: Type.Array(Type.Enum(['HS256', 'RS256', 'ES256', 'EdDSA'])),
    secret: Type.Optional(Type.String()),
    publicKeyFile: Type.Optional(Type.String()),
    jwksFile: Type.Optional(Type.String()),
    jwksUrl: Type.Optional(Type.String()),
    mayGrant: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
)

const awsIotSchema = Type.Object(
  {
    root: Type.String(),
    region: Type.String(),
    account: Type.String(),
    endpoint: Type.String(),
    roleArn: Type.Optional(Type.String()),
    authorizer: Type.Optional(Type.String()),
    authorizerTokenKey: Type.Optional(Type.String()),
    giveCredentials: Type.Optional(Type.Boolean()),
    deadline: Type.Optional(Type.Boolean()),
    stsUrl: Type.Optional(Type.String()),
    bridgeRoleArn: Type.Optional(Type.String()),
    bridgeName: Type.Optional(Type.String()),
    ingest: Type.Optional(Type.Enum(['mqtt', 'sqs'])),
    queueUrl: Type.Optional(Type.String()),
    deadLetterQueueUrl: Type.Optional(Type.String()),
    ingestConnections: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
    deliveryConnections: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
  },
  {
    additionalProperties: false,
    value: 'JSON',
    noFlag: true,
    allowed:
      'a JSON object {root, region, account, endpoint} with roleArn (and giveCredentials?, deadline?, stsUrl?) or authorizer (and authorizerTokenKey?), and for the engine aws-iot bridgeRoleArn (and bridgeName?, ingest?, queueUrl?, deadLetterQueueUrl?, ingestConnections?, deliveryConnections?)',
    description: 'token exchange admits clients to AWS IoT Core instead of this server: AWS.md',
  },
)

const retentionPolicy = Type.Object(
  {
    ageMs: Type.Optional(Type.Integer({ minimum: 1 })),
    entries: Type.Optional(Type.Integer({ minimum: 1 })),
    bytes: Type.Optional(Type.Integer({ minimum: 1 })),
  },
  { additionalProperties: false },
)

const urlPattern = (schemes: string): string => `^(${schemes})://[^/\\s]+(/\\S*)?$`

/**
 * Beside JSON Schema's own words: `description` for help and docs, `value` the placeholder in help, `allowed` what an
 * error says may stand there, `byDefault` the default in words where it is none or follows from others.
 */
export const configSchema = Type.Object(
  {
    data: Type.String({
      default: './data',
      minLength: 1,
      value: 'FOLDER',
      allowed: 'the path of a folder',
      description: 'where the store and the development key lie',
    }),
    store: Type.String({
      default: 'level:',
      pattern: '^(level:.*|memory:|mongodb(\\+srv)?://[^\\s]+)$',
      value: 'STORE',
      secrets: [],
      allowed: 'level: (in the data folder), level:PATH, memory: or mongodb://…',
      description:
        'the store: `level:` is on disk in `{data}/log`, `level:PATH` in that folder, `memory:` is gone when the server stops, `mongodb://USER:PASSWORD@HOSTS/DATABASE?…` is shared by several servers (the URL may also say how TLS is used)',
    }),
    strict: Type.Boolean({
      default: false,
      description: 'refuse a MongoDB that is no replica set: what one server acknowledges is lost with its disk',
    }),
    hints: Type.Optional(
      Type.String({
        pattern: '^rediss?://(?:[^@/\\s]*@)?[^@/?#\\s]+$',
        value: 'URL',
        secrets: [],
        allowed: 'redis://HOST:PORT or, with TLS, rediss://HOST:PORT, with USER:PASSWORD@ before the host where Redis wants it',
        description: 'where nodes that share a store tell each other what is new; without it they look every `headPollMs`',
      }),
    ),
    hintsPrefix: Type.String({
      default: 'tidemark',
      pattern: '^[A-Za-z0-9_.:-]{1,64}$',
      value: 'NAME',
      allowed: 'up to 64 of A–Z, a–z, 0–9, _, ., : and -',
      description: 'what the names of channels in Redis begin with; another one for a copy of the store that uses the same Redis',
    }),
    host: Type.String({
      default: '127.0.0.1',
      minLength: 1,
      value: 'HOST',
      allowed: 'a host name or an address of this machine',
      description: 'the address all listeners bind to; without issuers loopback only',
    }),
    mqttPort: port(1883, 'MQTT over TCP; 0 takes a free port'),
    httpPort: port(8080, 'HTTP, and MQTT over WebSocket at /mqtt; 0 takes a free port'),
    mqttsPort: port(mqttsPortDefault, 'MQTT over TLS, on where certFile and keyFile are given; 0 takes a free port'),
    certFile: Type.Optional(
      Type.String({
        minLength: 1,
        value: 'FILE',
        allowed: 'the path of a PEM file',
        description: 'certificate chain for MQTT over TLS, PEM',
      }),
    ),
    keyFile: Type.Optional(
      Type.String({ minLength: 1, value: 'FILE', allowed: 'the path of a PEM file', description: 'private key of certFile, PEM' }),
    ),
    open: Type.Boolean({ default: false, description: 'the stream `open` for topics outside users/ and spaces/, for every client' }),
    anonymous: Type.Boolean({
      default: false,
      description: 'clients without credentials may use the stream `open`; development mode only',
    }),
    audience: Type.String({
      default: 'tidemark',
      minLength: 1,
      value: 'NAME',
      allowed: 'a text that is not empty',
      description: 'the `aud` that every token must name',
    }),
    issuers: Type.Array(issuerSchema, {
      default: [],
      value: 'JSON',
      noFlag: true,
      secrets: ['secret'],
      allowed:
        'a JSON array of {issuer, prefix?, algorithms, mayGrant?} with one of secret, publicKeyFile, jwksFile and jwksUrl; algorithms of HS256, RS256, ES256, EdDSA',
      description: 'whose tokens are accepted; without any the server is in development mode',
    }),
    maxTokenAgeMs: Type.Integer({
      default: tokenAgeMaxMs,
      minimum: 1,
      maximum: timerMsMax,
      value: 'MS',
      description: 'the longest life of an app token, `exp` − `iat`; revocations are kept as long',
    }),
    engine: Type.Enum(['tidemark', 'aws-iot'], {
      default: 'tidemark',
      value: 'ENGINE',
      description:
        'who carries MQTT: this server, or AWS IoT Core with `awsIot`, and then the server has no MQTT listeners but the bridge to it: AWS.md',
    }),
    awsIot: Type.Optional(awsIotSchema),
    corsOrigins: Type.Array(Type.String({ pattern: '^https?://[^/\\s]+$' }), {
      default: [],
      value: 'ORIGINS',
      allowed: 'origins such as https://app.example.org, separated by commas (an array in the file)',
      description: 'web origins, beside the server’s own, whose pages may use HTTP and WebSocket; needs issuers',
    }),
    allowedHosts: Type.Array(Type.String({ pattern: '^(\\[[0-9a-fA-F:.]+\\]|[^:@/\\s\\[\\]]+)$' }), {
      default: [],
      value: 'HOSTS',
      byDefault: 'any',
      allowed: 'host names without a port, separated by commas (an array in the file)',
      description: 'what the Host header of HTTP requests may name, any if empty; needs issuers',
    }),
    publicMqttUrl: Type.Optional(
      Type.String({
        pattern: urlPattern('mqtt|mqtts|ws|wss'),
        value: 'URL',
        allowed: 'an mqtt, mqtts, ws or wss URL',
        byDefault: 'from host and mqttPort',
        description: 'where clients reach MQTT, told in token exchange',
      }),
    ),
    publicHttpUrl: Type.Optional(
      Type.String({
        pattern: urlPattern('http|https'),
        value: 'URL',
        allowed: 'an http or https URL',
        byDefault: 'from host and httpPort',
        description: 'where clients reach HTTP, told in token exchange; also the `iss` of broker tokens',
      }),
    ),
    retention: Type.Object(
      {
        users: Type.Optional(retentionPolicy),
        spaces: Type.Optional(retentionPolicy),
        outbox: Type.Optional(retentionPolicy),
        inbox: Type.Optional(retentionPolicy),
        open: Type.Optional(retentionPolicy),
      },
      {
        additionalProperties: false,
        default: {},
        value: 'JSON',
        noFlag: true,
        allowed: 'a JSON object with any of users, spaces, outbox, inbox, open, each {ageMs?, entries?, bytes?} of whole numbers from 1 on',
        description:
          'what stays of the streams of each kind: what is older, or beyond so many entries or bytes, is trimmed; the state stays',
      },
    ),
    retentionWaits: Type.Boolean({
      default: true,
      description: 'retention keeps what a kept session has not acknowledged, until that session expires',
    }),
    logLevel: Type.Enum(['debug', 'info', 'warn', 'error', 'silent'], {
      default: 'info',
      value: 'LEVEL',
      description: 'how much is logged to stderr, as JSON lines',
    }),
    limits: Type.Object(limitSchemas, { additionalProperties: false }),
  },
  { additionalProperties: false },
)

/** The resolved configuration. */
export type Config = Static<typeof configSchema>

/** What a file or a caller may give: any part of it. */
export type Settings = Partial<Omit<Config, 'limits'>> & { readonly limits?: Partial<Limits> }

/** One setting, as every way of giving or showing it needs it. */
export interface Setting {
  /** Its path: `mqttPort`, `limits.inflightMax`. */
  readonly key: string
  readonly variable: string
  /** Absent for settings that are too large for a command line. */
  readonly flag: string | undefined
  readonly schema: SettingSchema
}

export type SettingSchema = TSchema & {
  readonly type?: string
  readonly enum?: readonly string[]
  readonly default?: unknown
  readonly description?: string
  readonly value?: string
  readonly allowed?: string
  readonly byDefault?: string
  readonly noFlag?: boolean
  /** Members that are secret. Given at all, an error shows nothing of the value, and the credentials in a URL are masked. */
  readonly secrets?: readonly string[]
  readonly minimum?: number
  readonly maximum?: number
}

/** All settings in the order of the docs, limits last. */
export const settings: readonly Setting[] = [...settingsOf(configSchema), ...settingsOf(configSchema.properties.limits, 'limits.')]

function settingsOf(object: TObject, prefix = ''): Setting[] {
  return Object.entries(object.properties)
    .filter(([name]) => name !== 'limits')
    .map(([name, property]) => {
      const schema = property as SettingSchema
      const variable = `TIDEMARK_${snake(prefix.replace('.', '_') + name)}`
      const flag = schema.noFlag ? undefined : prefix === '' ? `--${kebab(name)}` : `--limit ${name}`
      return { key: prefix + name, variable, flag, schema }
    })
}

function port(number: number, description: string): ReturnType<typeof Type.Integer> {
  return Type.Integer({ default: number, minimum: 0, maximum: 65_535, value: 'PORT', description })
}

function snake(name: string): string {
  return name.replaceAll(/[A-Z]/g, '_$&').toUpperCase()
}

function kebab(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
