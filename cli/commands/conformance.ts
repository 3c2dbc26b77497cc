/** `tidemark conformance`: what the protocol says, tried on a deployment from outside. */
import { InvalidArgumentError, type Command } from 'commander'
import { Unusable, type Door } from '../../conformance/deployment.ts'
import { checksOf, countsOf, jsonOf, rowOf, summaryOf } from '../../conformance/report.ts'
import { runChecks } from '../../conformance/run.ts'
import { tokenBy, userMark } from '../../conformance/token-command.ts'
import { SyncError } from '../../protocol/errors.ts'
import { collect } from '../config-flags.ts'
import { UsageError } from '../usage-error.ts'

interface ConformanceOptions {
  readonly tokenCommand: string
  readonly shortTokenCommand?: string
  readonly user: string
  readonly as?: string
  readonly space?: string
  readonly httpUrl?: string
  readonly mqttUrl?: string
  readonly wsUrl?: string
  readonly door?: Door
  readonly only?: readonly string[]
  readonly timeout: number
  readonly parallel: number
  readonly json?: boolean
}

const doors: readonly Door[] = ['tcp', 'ws', 'http']

export function define(command: Command): void {
  command
    .argument('<URL>', 'the deployment: http or https; or mqtt, mqtts, ws or wss for what has no HTTP')
    .requiredOption('--token-command <COMMAND>', `prints a token; ${userMark} in it becomes the user`)
    .option('--user <NAME>', 'the user to be', 'conformance')
    .option('--as <NAME>', 'a second user, for what one must not see of the other')
    .option('--space <ID>', 'a space that both may write to, and the second does not own')
    .option('--short-token-command <COMMAND>', 'prints a token that expires within 15 seconds')
    .option('--http-url <URL>', 'where HTTP is, beside a URL of MQTT')
    .option('--mqtt-url <URL>', 'where MQTT is; default what the exchange tells clients')
    .option('--ws-url <URL>', 'where MQTT over WebSocket is; default /mqtt of HTTP')
    .option('--door <DOOR>', 'only checks over tcp, ws or http; MQTT goes that way', choice<Door>(doors))
    .option('--only <CLAUSE>', 'a chapter or a clause, like P-4 or P-4.2; may be given several times', collect)
    .option('--timeout <SECONDS>', 'how long each step may take', number(0.2, 60), 5)
    .option('--parallel <N>', 'how many checks at a time', number(1, 20), 4)
    .option('--json', 'print the results as JSON')
  command.action(conformance)
}

async function conformance(given: string, options: ConformanceOptions): Promise<void> {
  const { tokenCommand, shortTokenCommand, user, as: second, space, door } = options
  const checks = checksOf(options.only ?? [], door)
  if (checks.length === 0)
    throw new UsageError(`no check is about ${options.only?.join(', ') ?? 'that'}${door === undefined ? '' : ` over ${door}`}`)
  for (const name of [user, second]) if (name !== undefined) mustBeName(name)
  if (second !== undefined && !tokenCommand.includes(userMark))
    throw new UsageError(`--as needs a --token-command with ${userMark} in it, to get tokens of both users`)
  const isJson = options.json === true
  const outcome = await runChecks({
    ...addresses(given, options),
    checks,
    door,
    timeoutMs: options.timeout * 1_000,
    parallel: options.parallel,
    told: (result) => void (isJson || process.stdout.write(rowOf(result))),
    user,
    second,
    space,
    token: (name) => tokenBy(tokenCommand, name),
    shortToken: shortTokenCommand === undefined ? undefined : (name) => tokenBy(shortTokenCommand, name),
  }).catch((error: unknown) => {
    throw error instanceof Unusable ? new UsageError(error.message) : error
  })
  process.stdout.write(isJson ? jsonOf(outcome) : summaryOf(outcome))
  const { passed, failed } = countsOf(outcome.results)
  if (failed > 0) throw new SyncError('internal', `${failed} of ${passed + failed} checks failed`)
}

/** One URL says where most is: HTTP brings WebSocket, and the exchange tells where MQTT is. */
function addresses(given: string, options: ConformanceOptions): Record<'http' | 'tcp' | 'ws', string | undefined> {
  const url = urlOf(given, 'URL', /^(?:https?|mqtts?|wss?):$/)
  const { protocol } = new URL(url)
  return {
    http: urlOr(options.httpUrl, '--http-url', /^https?:$/) ?? (protocol.startsWith('http') ? url : undefined),
    tcp: urlOr(options.mqttUrl, '--mqtt-url', /^mqtts?:$/) ?? (protocol.startsWith('mqtt') ? url : undefined),
    ws: urlOr(options.wsUrl, '--ws-url', /^wss?:$/) ?? (protocol.startsWith('ws') ? url : undefined),
  }
}

function urlOr(text: string | undefined, name: string, schemes: RegExp): string | undefined {
  return text === undefined ? undefined : urlOf(text, name, schemes)
}

function urlOf(text: string, name: string, schemes: RegExp): string {
  if (!URL.canParse(text) || !schemes.test(new URL(text).protocol))
    throw new UsageError(`${name} ${text} is no URL of the kind that is wanted here`)
  const url = new URL(text)
  if (url.protocol.startsWith('ws') && url.pathname === '/') url.pathname = '/mqtt'
  return url.href.replace(/\/$/, '')
}

/** It stands in a command that a shell runs. */
function mustBeName(name: string): void {
  if (!/^[\w.@+-]{1,128}$/.test(name)) throw new UsageError(`${name}: a user here has letters, digits and any of _ . @ + -`)
}

function choice<Choice extends string>(choices: readonly Choice[]): (text: string) => Choice {
  return (text) => {
    const found = choices.find((one) => one === text)
    if (found === undefined) throw new InvalidArgumentError(`It is one of ${choices.join(', ')}.`)
    return found
  }
}

function number(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!(value >= least && value <= most)) throw new InvalidArgumentError(`It is a number from ${least} to ${most}.`)
    return value
  }
}
