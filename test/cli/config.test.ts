import { expect } from 'chai'
import * as fc from 'fast-check'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { configurationMarkdown, describeConfig } from '../../cli/config-docs.ts'
import { describeStore } from '../../cli/store.ts'
import { settings, type Setting } from '../../cli/config-schema.ts'
import { configFrom, resolveConfig, type ConfigInput } from '../../cli/config.ts'
import { SyncError } from '../../protocol/errors.ts'
import { defaultLimits } from '../../seams/limits.ts'

const awsIot = { root: 'acme', region: 'eu-west-1', account: '123456789012', endpoint: 'x.example', authorizer: 'acme-sync' }
const queueUrl = 'https://sqs.eu-west-1.amazonaws.com/123456789012/acme-ingest'

describe('configuration', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-config-'))
  const file = join(folder, 'tidemark.json')
  after(() => rmSync(folder, { recursive: true }))

  const writeConfig = (json: unknown): string => {
    writeFileSync(file, typeof json === 'string' ? json : JSON.stringify(json))
    return file
  }

  it('has the defaults of a first start', () => {
    const { config, sources } = resolveConfig({})
    expect(config).to.include({ data: './data', host: '127.0.0.1', mqttPort: 1883, httpPort: 8080, store: 'level:', open: false })
    expect(config.limits).to.deep.equal(defaultLimits)
    expect(new Set(sources.values())).to.deep.equal(new Set(['default']))
  })

  it('[P-2.19] takes what stays of each kind of stream as JSON, and refuses what is no policy', () => {
    expect(resolveConfig({}).config).to.deep.include({ retention: {}, retentionWaits: true })
    const retention = { users: { ageMs: 86_400_000, entries: 1_000 }, open: { bytes: 5 } }
    expect(resolveConfig({ env: { TIDEMARK_RETENTION: JSON.stringify(retention) } }).config.retention).to.deep.equal(retention)
    expect(resolveConfig({ file: writeConfig({ retention, retentionWaits: false }) }).config).to.deep.include({
      retention,
      retentionWaits: false,
    })
    for (const wrong of [{ user: { entries: 1 } }, { users: { days: 1 } }, { users: { entries: 0 } }, { users: 5 }, [], 'users']) {
      expect(() => resolveConfig({ file: writeConfig({ retention: wrong }) }), JSON.stringify(wrong)).to.throw(
        SyncError,
        /^retention \(.*\): .* is not allowed.*; it must be a JSON object with any of users, spaces/,
      )
    }
  })

  it('takes flags before variables before the file before defaults, and says which', () => {
    // Settings that combine freely, each with values of its type.
    const free = settings.filter(({ key }) => /^(mqttPort|httpPort|open|audience|data|logLevel|maxTokenAgeMs|limits\..*)$/.test(key))
    const layer = fc.option(fc.nat({ max: 20 }), { nil: undefined })
    const layers = fc.record({ flag: layer, env: layer, file: layer })
    const some = fc.uniqueArray(fc.tuple(fc.constantFrom(...free), layers), { selector: ([{ key }]) => key, maxLength: 8 })
    let decided = 0
    fc.assert(
      fc.property(some, (chosen) => {
        const flags: Record<string, unknown> = {}
        const env: Record<string, string> = {}
        const inFile: Record<string, unknown> = {}
        for (const [setting, { flag, env: variable, file: member }] of chosen) {
          if (flag !== undefined) put(flags, setting.key, String(valueOf(setting, flag, 0)))
          if (variable !== undefined) env[setting.variable] = String(valueOf(setting, variable, 1))
          if (member !== undefined) put(inFile, setting.key, valueOf(setting, member, 2))
        }
        const { config, sources } = resolveConfig({ flags, env, file: writeConfig(inFile) })
        for (const [setting, { flag, env: variable, file: member }] of chosen) {
          const [value, source] =
            flag !== undefined
              ? [valueOf(setting, flag, 0), setting.flag]
              : variable !== undefined
                ? [valueOf(setting, variable, 1), setting.variable]
                : member !== undefined
                  ? [valueOf(setting, member, 2), file]
                  : [setting.schema.default, 'default']
          expect(get(config, setting.key), setting.key).to.equal(value)
          expect(sources.get(setting.key), setting.key).to.equal(source)
          decided++
        }
      }),
    )
    expect(decided).to.be.greaterThan(100)
  })

  it('reads every setting by its variable and, if it has one, by its flag', () => {
    const texts: Record<string, [string, unknown]> = {
      store: ['memory:', 'memory:'],
      hints: ['rediss://tide:a%20b@cache.example:6380', 'rediss://tide:a%20b@cache.example:6380'],
      host: ['localhost', 'localhost'],
      issuers: [JSON.stringify([issuer]), [issuer]],
      // The other one needs a role in awsIot: below.
      engine: ['tidemark', 'tidemark'],
      awsIot: [JSON.stringify(awsIot), awsIot],
      publicMqttUrl: ['wss://example.org/mqtt', 'wss://example.org/mqtt'],
      publicHttpUrl: ['https://example.org', 'https://example.org'],
      retention: ['{"open":{"bytes":5}}', { open: { bytes: 5 } }],
      logLevel: ['warn', 'warn'],
    }
    const together = new Set(['certFile', 'keyFile', 'mqttsPort', 'anonymous', 'corsOrigins', 'allowedHosts'])
    for (const setting of settings.filter(({ key }) => !together.has(key))) {
      const [text, value] = texts[setting.key] ?? [String(valueOf(setting, 7, 0)), valueOf(setting, 7, 0)]
      const fromVariable = resolveConfig({ env: { [setting.variable]: text } })
      expect(get(fromVariable.config, setting.key), setting.variable).to.deep.equal(value)
      if (setting.flag === undefined) continue
      const flags: Record<string, unknown> = {}
      put(flags, setting.key, text)
      expect(get(resolveConfig({ flags }).config, setting.key), setting.flag).to.deep.equal(value)
    }
    const env = {
      TIDEMARK_CERT_FILE: 'c.pem',
      TIDEMARK_KEY_FILE: 'k.pem',
      TIDEMARK_MQTTS_PORT: '0',
      TIDEMARK_ISSUERS: JSON.stringify([issuer]),
    }
    const lists = { TIDEMARK_CORS_ORIGINS: 'https://a.example, https://b.example:8443', TIDEMARK_ALLOWED_HOSTS: '["[::1]","a.example"]' }
    expect(resolveConfig({ env: { ...env, ...lists } }).config).to.deep.include({
      certFile: 'c.pem',
      keyFile: 'k.pem',
      mqttsPort: 0,
      corsOrigins: ['https://a.example', 'https://b.example:8443'],
      allowedHosts: ['[::1]', 'a.example'],
    })
    const bridged = { ...awsIot, bridgeRoleArn: 'arn:aws:iam::123456789012:role/acme-bridge', endpoint: 'ws://127.0.0.1:9001' }
    const withBridge = { TIDEMARK_ENGINE: 'aws-iot', TIDEMARK_AWS_IOT: JSON.stringify(bridged) }
    expect(resolveConfig({ env: withBridge }).config).to.deep.include({ engine: 'aws-iot', awsIot: bridged })
    expect(resolveConfig({ flags: { anonymous: true, open: true } }).config).to.include({ anonymous: true, open: true })
  })

  it('passes over variables that are not settings', () => {
    const env = {
      TIDEMARK_TOKEN: 'x',
      TIDEMARK_TEST_SEED: '1',
      TIDEMARK_SERVICE_HOST: '10.0.0.1',
      TIDEMARK_PORT: 'tcp://10.0.0.1:1883',
      TIDEMARK_PORT_1883_TCP_ADDR: '10.0.0.1',
      OTHER: 'x',
    }
    expect(resolveConfig({ env }).config).to.deep.equal(resolveConfig({}).config)
  })

  const refused: readonly [string, ConfigInput | (() => ConfigInput), RegExp][] = [
    ['a port that is a word', { flags: { mqttPort: 'x' } }, /^mqttPort \(--mqtt-port\): "x" .* whole number from 0 to 65535$/],
    ['a port out of range', { env: { TIDEMARK_HTTP_PORT: '65536' } }, /^httpPort \(TIDEMARK_HTTP_PORT\): 65536 .* from 0 to 65535$/],
    ['a negative port', { env: { TIDEMARK_HTTP_PORT: '-1' } }, /TIDEMARK_HTTP_PORT\): -1 /],
    ['a fraction', () => ({ file: writeConfig({ mqttPort: 1.5 }) }), /^mqttPort \(.*tidemark\.json\): 1\.5 /],
    ['a number as text in the file', () => ({ file: writeConfig({ mqttPort: '1883' }) }), /^mqttPort \(.*tidemark\.json\): "1883" /],
    ['neither true nor false', { env: { TIDEMARK_OPEN: 'yes' } }, /^open \(TIDEMARK_OPEN\): "yes" .* true or false$/],
    ['an empty variable', { env: { TIDEMARK_MQTT_PORT: '' } }, /^mqttPort \(TIDEMARK_MQTT_PORT\): "" /],
    ['an unknown store', { flags: { store: 'mongo://u:hush@x' } }, /^store \(--store\): the value .* level:PATH, memory: or mongodb:/],
    [
      'payloads that no document of MongoDB can hold',
      { flags: { store: 'mongodb://u:hush@x', limits: { payloadBytesMax: '15728641' } } },
      /^limits\.payloadBytesMax \(--limit payloadBytesMax\) is 15728641: a MongoDB stores at most 15728640 bytes together$/,
    ],
    ['a MongoDB without a host', { flags: { store: 'mongodb://' } }, /^store \(--store\): /],
    [
      'hints over something else',
      { flags: { hints: 'nats://hush@x' } },
      /^hints \(--hints\): the value .* redis:\/\/HOST:PORT or, with TLS, rediss:/,
    ],
    ['hints with a database, which pub/sub has none of', { flags: { hints: 'redis://:hush@x/1' } }, /^hints \(--hints\): /],
    ['hints at no port', { env: { TIDEMARK_HINTS: 'redis://:hush@x:port' } }, /^hints \(TIDEMARK_HINTS\) is no URL that can be read$/],
    ['hints with a prefix that may hold a pattern', { flags: { hintsPrefix: 'a*' } }, /^hintsPrefix \(--hints-prefix\): "a\*"/],
    [
      'an unknown log level',
      { flags: { logLevel: 'loud' } },
      /^logLevel \(--log-level\): "loud" .* one of debug, info, warn, error, silent$/,
    ],
    ['a URL of another kind', { flags: { publicHttpUrl: 'ftp://x' } }, /^publicHttpUrl \(--public-http-url\): .* an http or https URL$/],
    ['an origin with a path', { env: { TIDEMARK_CORS_ORIGINS: 'https://a/b' } }, /^corsOrigins \(TIDEMARK_CORS_ORIGINS\): .*at 0/],
    [
      'a limit of 0 that is no switch',
      { flags: { limits: { inflightMax: '0' } } },
      /^limits\.inflightMax \(--limit inflightMax\): 0 .* from 1 to 65535$/,
    ],
    ['a limit that no timer can have', { flags: { limits: { lingerMs: '2147483648' } } }, /^limits\.lingerMs .* from 0 to 2147483647$/],
    [
      'an unknown limit',
      { flags: { limits: { inflihtMax: '3' } } },
      /^unknown setting limits\.inflihtMax \(the command line\); did you mean limits\.inflightMax\?$/,
    ],
    ['limits that are no object', () => ({ file: writeConfig({ limits: 3 }) }), /^limits \(.*\) must be an object/],
    ['an unknown variable', { env: { TIDEMARK_MQT_PORT: '1' } }, /variable TIDEMARK_MQT_PORT; did you mean TIDEMARK_MQTT_PORT\?$/],
    [
      'an unknown member',
      () => ({ file: writeConfig({ colour: 1 }) }),
      /^unknown setting colour \(.*tidemark\.json\); docs\/CONFIGURATION\.md/,
    ],
    [
      'a file that is missing',
      { file: '/nowhere/tidemark.json' },
      /^the configuration file \/nowhere\/tidemark\.json cannot be read: ENOENT/,
    ],
    ['a file by variable that is missing', { env: { TIDEMARK_CONFIG: '/nowhere' } }, /^the configuration file \/nowhere cannot be read/],
    ['a file that is no JSON', () => ({ file: writeConfig('{') }), /is not JSON/],
    ['a file that is no object', () => ({ file: writeConfig([]) }), /holds no JSON object/],
    [
      'a host from outside without issuers',
      { flags: { host: '0.0.0.0' } },
      /^host \(--host\): "0\.0\.0\.0" .* development mode, which listens on 127\.0\.0\.1/,
    ],
    ['a name that looks like loopback', { flags: { host: '127.0.0.1.example' } }, /^host \(--host\)/],
    [
      'anonymous with issuers',
      { given: { anonymous: true, open: true, issuers: [issuerOf()] } },
      /^anonymous \(given\) is for development mode only/,
    ],
    ['anonymous without open', { flags: { anonymous: true } }, /^anonymous \(--anonymous\) .* open, which is off/],
    ['a certificate without key', { flags: { certFile: 'c' } }, /^certFile \(--cert-file\) needs keyFile/],
    ['a key without certificate', { env: { TIDEMARK_KEY_FILE: 'k' } }, /^keyFile \(TIDEMARK_KEY_FILE\) needs certFile/],
    ['a TLS port without certificate', { flags: { mqttsPort: '8884' } }, /^mqttsPort \(--mqtts-port\) needs certFile and keyFile/],
    [
      'a member of awsIot that cannot work',
      { given: { awsIot: { ...awsIot, account: '1' } } },
      /^awsIot \(given\): account must be twelve digits/,
    ],
    [
      'a member of awsIot that there is not',
      { given: { awsIot: { ...awsIot, colour: 1 } as never } },
      /^awsIot \(given\): .*JSON object \{root/,
    ],
    ['awsIot without a way in', { given: { awsIot: { ...awsIot, authorizer: undefined } as never } }, /^awsIot \(given\): .*authorizer/],
    [
      'the engine aws-iot without a role for its bridge',
      { given: { engine: 'aws-iot', awsIot } },
      /^engine \(given\) is aws-iot and needs awsIot \(given\) with bridgeRoleArn/,
    ],
    [
      'AWS without TLS elsewhere',
      { given: { awsIot: { ...awsIot, endpoint: 'ws://aws.example' } } },
      /^awsIot \(given\): endpoint is no host name/,
    ],
    [
      'a queue that is not asked for',
      { given: { awsIot: { ...awsIot, queueUrl } } },
      /^awsIot \(given\): queueUrl goes with "ingest": "sqs"/,
    ],
    [
      'no queue for dead letters',
      { given: { awsIot: { ...awsIot, ingest: 'sqs', queueUrl } } },
      /^awsIot \(given\): deadLetterQueueUrl goes with "ingest": "sqs"/,
    ],
    [
      'a queue in another region',
      { given: { awsIot: { ...awsIot, ingest: 'sqs', queueUrl: queueUrl.replace('eu', 'us'), deadLetterQueueUrl: `${queueUrl}-dead` } } },
      /^awsIot \(given\): queueUrl is in us-west-1, not in eu-west-1/,
    ],
    [
      'one queue for both',
      { given: { awsIot: { ...awsIot, ingest: 'sqs', queueUrl, deadLetterQueueUrl: queueUrl } } },
      /^awsIot \(given\): deadLetterQueueUrl is the queue itself/,
    ],
    [
      'a queue without TLS elsewhere',
      { given: { awsIot: { ...awsIot, ingest: 'sqs', queueUrl: 'http://sqs.example/123456789012/q', deadLetterQueueUrl: queueUrl } } },
      /^awsIot \(given\): queueUrl is no URL of a queue/,
    ],
    ['awsIot with the open stream', { given: { awsIot, open: true } }, /^awsIot \(given\) and open \(given\) exclude each other/],
    ['origins without issuers', { flags: { corsOrigins: 'https://a' } }, /^corsOrigins \(--cors-origins\) needs issuers/],
    ['hosts without issuers', { flags: { allowedHosts: 'a' } }, /^allowedHosts \(--allowed-hosts\) needs issuers/],
    ['one port twice', { flags: { httpPort: '1883' } }, /^mqttPort \(default\) and httpPort \(--http-port\) are both 1883/],
    [
      'issuers that are no array',
      { env: { TIDEMARK_ISSUERS: '{"secret":"hush"}' } },
      /^issuers \(TIDEMARK_ISSUERS\): the value is not allowed; .* JSON array/,
    ],
    [
      'an issuer with an unknown member',
      { given: { issuers: [{ ...issuerOf(), colour: 1 } as never] } },
      /^issuers \(given\): the value, at 0/,
    ],
    [
      'an issuer with a short secret',
      { given: { issuers: [{ ...issuerOf(), secret: 'hush' }] } },
      /^issuers \(given\): .* secret is shorter than 32 bytes$/,
    ],
    ['two issuers without prefix', { given: { issuers: [issuerOf(), { ...issuerOf(), issuer: 'b' }] } }, /their users would meet$/],
  ]
  for (const [what, input, sentence] of refused) {
    it(`refuses ${what}`, () => {
      const error = thrownBy(() => resolveConfig(typeof input === 'function' ? input() : input))
      expect(error.code).to.equal('bad-request')
      expect(error.message).to.match(sentence)
      expect(error.message).to.not.include('hush')
    })
  }

  it('shows the resolved configuration with sources and without secrets', () => {
    const shown = describeConfig(resolveConfig({ env: { TIDEMARK_ISSUERS: JSON.stringify([issuer]) }, flags: { httpPort: '0' } }))
    expect(shown).to.include('httpPort = 0  # --http-port')
    expect(shown).to.include('"secret":"********"')
    expect(shown).to.include('limits.inflightMax = 1000  # default')
    expect(shown).to.not.include(issuer.secret)
    expect(shown.split('\n')).to.have.length(settings.length)
  })

  it('shows where hints go, without user and password', () => {
    const shown = describeConfig(resolveConfig({ env: { TIDEMARK_HINTS: 'redis://tide:hush@cache.example:6380' } }))
    expect(shown).to.include('hints = "redis://********@cache.example:6380"  # TIDEMARK_HINTS').and.not.include('hush')
  })

  it('shows no password of a MongoDB', () => {
    for (const store of [
      'mongodb://me:hush@one,two:27018/db?tls=true&replicaSet=rs0',
      'mongodb+srv://me:hush@one/db?tlsCertificateKeyFilePassword=hush&authMechanismProperties=AWS_SESSION_TOKEN:hush&tls=true',
    ]) {
      const resolved = resolveConfig({ flags: { store } })
      expect(resolved.config.store).to.equal(store)
      for (const shown of [describeConfig(resolved), describeStore(resolved.config)]) {
        expect(shown).to.not.match(/hush|me:/)
        expect(shown).to.include('@one').and.include('/db?').and.include('tls=true')
      }
    }
    expect(describeStore({ store: 'level:/a//b@c', data: 'd' })).to.equal('/a//b@c')
  })

  it('checks settings that a program gives like any other', () => {
    expect(configFrom({ mqttPort: 0, limits: { inflightMax: 5 } }).limits.inflightMax).to.equal(5)
    expect(() => configFrom({ mqttPort: -1 })).to.throw(SyncError, 'mqttPort (given)')
  })

  it('documents every setting, and docs/CONFIGURATION.md is up to date', () => {
    const made = configurationMarkdown()
    for (const { key, variable } of settings)
      expect(made)
        .to.include(`\`${key.replace('limits.', '')}\``)
        .and.include(`\`${variable}\``)
    expect(made.match(/\| *\|$/m), 'a row without meaning').to.equal(null)
    const onDisk = readFileSync(new URL('../../docs/CONFIGURATION.md', import.meta.url), 'utf8')
    expect(onDisk === made, 'run: node bin/tidemark.js check-config --markdown > docs/CONFIGURATION.md').to.equal(true)
  })
})

const issuer = issuerOf()

function issuerOf() {
  return { issuer: 'https://id.example', algorithms: ['HS256' as const], secret: 'a secret that is long enough for HS256' }
}

/** A value of the setting that differs by `index` and by `layer`. */
function valueOf({ key, schema }: Setting, index: number, layer: number): unknown {
  if (schema.type === 'integer') return 40 + index * 3 + layer + (key === 'httpPort' ? 1_000 : 0)
  if (schema.type === 'boolean') return (index + layer) % 2 === 0
  if (schema.enum) return schema.enum[(index + layer) % schema.enum.length]
  return `text-${index}-${layer}`
}

function put(object: Record<string, unknown>, key: string, value: unknown): void {
  const [name, limit] = key.split('.') as [string, string | undefined]
  if (limit === undefined) object[name] = value
  else object[name] = { ...(object[name] as object | undefined), [limit]: value }
}

function get(object: object, key: string): unknown {
  return key.split('.').reduce((inner: unknown, name) => (inner as Record<string, unknown>)[name], object)
}

function thrownBy(call: () => unknown): SyncError {
  try {
    call()
  } catch (error) {
    if (error instanceof SyncError) return error
    throw error
  }
  throw new Error('nothing was refused')
}
