/** From flags, environment, file and defaults to one configuration that can work, or a sentence why not. */
import { readFileSync } from 'node:fs'
import { checkAuthConfig, type AuthConfig } from '../auth/config.ts'
import { asSyncError, SyncError } from '../protocol/errors.ts'
import { checkCombinations } from './config-combinations.ts'
import { settings, type Config, type Setting, type Settings } from './config-schema.ts'
import { checkValue, fromText } from './config-values.ts'

export type { Config, Settings } from './config-schema.ts'

/** Where settings come from; flags win over the environment, that over the file, that over the defaults. */
export interface ConfigInput {
  /** By key; limits below `limits`. Texts, or booleans where the flag takes no value. */
  readonly flags?: Readonly<Record<string, unknown>>
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Path of the JSON file; default `TIDEMARK_CONFIG`. */
  readonly file?: string | undefined
  /** Settings given by a program, in place of a file. */
  readonly given?: Settings
}

export interface ResolvedConfig {
  readonly config: Config
  /** By key: the flag, variable or file that decided, or `default`. */
  readonly sources: ReadonlyMap<string, string>
}

/** Throws `bad-request` with one sentence that names the setting, where it came from and what is allowed. */
export function resolveConfig(input: ConfigInput): ResolvedConfig {
  const { env = {}, flags = {} } = input
  const path = input.file ?? env['TIDEMARK_CONFIG']
  const file = input.given ? flatten(input.given) : path === undefined ? new Map<string, unknown>() : flatten(readConfigFile(path))
  const origin = input.given ? 'given' : (path ?? '')
  const given = flatten(flags)
  refuseUnknownKeys(file, origin)
  refuseUnknownKeys(given, 'the command line')
  refuseUnknownVariables(env)

  const sources = new Map<string, string>()
  const values = new Map<string, unknown>()
  for (const setting of settings) {
    const [value, source] = lookUp(setting, given, env, file, origin)
    sources.set(setting.key, source)
    if (value !== undefined) values.set(setting.key, checkValue(setting, value, source))
  }
  const config = assemble(values)
  checkCombinations(config, (key) => sources.get(key) ?? 'default')
  checkIssuers(config, sources.get('issuers') ?? 'default')
  return { config, sources }
}

/** The configuration that a program's settings make, without environment or file. */
export function configFrom(given: Settings): Config {
  return resolveConfig({ given }).config
}

/** What the settings say about identity. The URLs are those that clients are told. */
export function authConfigOf(config: Config, urls: { readonly mqttUrl: string; readonly httpUrl: string }): AuthConfig {
  const { data, issuers, audience, anonymous, open, maxTokenAgeMs, awsIot } = config
  const auth = { dataFolder: data, issuers, audience, anonymous, openEnabled: open, maxTokenAgeMs, ...urls }
  return awsIot === undefined ? auth : { ...auth, awsIot }
}

function lookUp(
  { key, variable, flag, schema }: Setting,
  flags: ReadonlyMap<string, unknown>,
  env: Readonly<Record<string, string | undefined>>,
  file: ReadonlyMap<string, unknown>,
  origin: string,
): [unknown, string] {
  const given = flags.get(key)
  if (given !== undefined) return [typeof given === 'string' ? fromText(schema, given) : given, flag ?? key]
  const text = env[variable]
  if (text !== undefined) return [fromText(schema, text), variable]
  if (file.has(key)) return [file.get(key), origin]
  return [schema.default, 'default']
}

function readConfigFile(path: string): Record<string, unknown> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw badConfig(`the configuration file ${path} cannot be read: ${messageOf(error)}`)
  }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw badConfig(`the configuration file ${path} is not JSON: ${messageOf(error)}`)
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw badConfig(`the configuration file ${path} holds no JSON object`)
  return json as Record<string, unknown>
}

/** `{limits: {inflightMax: 5}}` becomes `limits.inflightMax`. Members that are undefined count as absent. */
function flatten(object: object): Map<string, unknown> {
  const flat = new Map<string, unknown>()
  for (const [name, value] of Object.entries(object) as [string, unknown][]) {
    if (name === 'limits' && typeof value === 'object' && value !== null && !Array.isArray(value)) {
      for (const [limit, bound] of Object.entries(value) as [string, unknown][]) flat.set(`limits.${limit}`, bound)
    } else if (value !== undefined) {
      flat.set(name, value)
    }
  }
  return flat
}

function refuseUnknownKeys(given: ReadonlyMap<string, unknown>, source: string): void {
  const known = settings.map(({ key }) => key)
  for (const key of given.keys()) {
    if (key === 'limits') throw badConfig(`limits (${source}) must be an object of limits by name`)
    if (!known.includes(key)) throw badConfig(`unknown setting ${key} (${source})${nearest(key, known)}`)
  }
}

/** Variables that are not settings: what the commands read themselves, and what Kubernetes sets for a service called tidemark. */
const otherVariables = /^TIDEMARK_(CONFIG|TOKEN|(TEST|BENCH)_.*|(.*_)?SERVICE_(HOST|PORT(_.*)?)|(.*_)?PORT_\d+_(TCP|UDP|SCTP)(_.*)?)$/
const servicePort = /^(tcp|udp|sctp):/

function refuseUnknownVariables(env: Readonly<Record<string, string | undefined>>): void {
  const known = settings.map(({ variable }) => variable)
  for (const [name, value = ''] of Object.entries(env)) {
    if (!name.startsWith('TIDEMARK_') || known.includes(name) || otherVariables.test(name)) continue
    if (name.endsWith('_PORT') && servicePort.test(value)) continue
    throw badConfig(`unknown setting in the environment variable ${name}${nearest(name, known)}`)
  }
}

/** A hint for a slip of the keys: the known name that differs least, if only little. */
function nearest(name: string, known: readonly string[]): string {
  const plain = (text: string): string => text.toLowerCase().replaceAll(/[_-]/g, '')
  const near = known
    .map((other) => ({ other, distance: distance(plain(name), plain(other)) }))
    .toSorted((one, another) => one.distance - another.distance)[0]
  return near && near.distance <= 3 ? `; did you mean ${near.other}?` : '; docs/CONFIGURATION.md lists what there is'
}

function distance(one: string, another: string): number {
  let row = Array.from({ length: another.length + 1 }, (_, at) => at)
  for (let i = 1; i <= one.length; i++) {
    const next = [i]
    for (let j = 1; j <= another.length; j++) {
      const swap = (row[j - 1] as number) + (one[i - 1] === another[j - 1] ? 0 : 1)
      next.push(Math.min(swap, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[another.length] as number
}

function assemble(values: ReadonlyMap<string, unknown>): Config {
  const config: Record<string, unknown> = {}
  const limits: Record<string, unknown> = {}
  for (const [key, value] of values) {
    if (key.startsWith('limits.')) limits[key.slice('limits.'.length)] = value
    else config[key] = value
  }
  return { ...config, limits } as unknown as Config
}

function checkIssuers(config: Config, source: string): void {
  try {
    checkAuthConfig(authConfigOf(config, { mqttUrl: '', httpUrl: '' }))
  } catch (error) {
    throw badConfig(`issuers (${source}): ${asSyncError(error).message.replace(/^configuration of tokens: /, '')}`)
  }
}

function badConfig(message: string): SyncError {
  return new SyncError('bad-request', message)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
