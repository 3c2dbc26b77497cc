/** All checks against one deployment: each within a bound, several at a time, and what they made removed at the end. */
import { randomBytes } from 'node:crypto'
import { Trace, withoutTokens } from './arrivals.ts'
import { Attempt } from './attempt.ts'
import { Broken, NotApplicable, NotTried, type Check, type Need } from './check.ts'
import { survey, type Deployment, type DeploymentOptions } from './deployment.ts'
import { Person, pathOf } from './person.ts'

export type Verdict = 'passed' | 'failed' | 'not applicable' | 'not tried'

export interface Result {
  readonly clauses: readonly string[]
  readonly title: string
  readonly verdict: Verdict
  /** What showed it, or why not. */
  readonly evidence: string
  /** What was sent and what came back. */
  readonly trace: readonly string[]
}

export interface RunOptions extends DeploymentOptions {
  readonly checks: readonly Check[]
  /** How many at a time. */
  readonly parallel: number
  /** Told of each result, in the order of the checks. */
  readonly told: (result: Result) => void
}

export interface Outcome {
  readonly results: readonly Result[]
  /** The level below which everything happened. */
  readonly root: string
  /** Retained topics that could not be removed, and why. */
  readonly left: string | undefined
}

/** As many steps as the longest check has, and what only time brings: a token that expires in between, or `at`. */
const stepsMax = 8
const waitsMs = 45_000

/** Throws `Unusable` where the deployment cannot be looked at. */
export async function runChecks(options: RunOptions): Promise<Outcome> {
  const root = `conformance-${randomBytes(4).toString('hex')}`
  const deployment = await survey(options, root)
  const results: Result[] = []
  const found = new Map<number, Result>()
  const waiting = [...options.checks.entries()]
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [number, check] = next
      found.set(number, await judge(check, number, deployment))
      for (let result = found.get(results.length); result; result = found.get(results.length)) {
        results.push(result)
        options.told(result)
      }
    }
  }
  await Promise.all(Array.from({ length: options.parallel }, work))
  const left = await removeRetained(deployment)
  return { results, root, left }
}

async function judge(check: Check, number: number, deployment: Deployment): Promise<Result> {
  const { clauses, title } = check
  const differs = check.engines[deployment.engine]
  if (differs !== undefined) return { clauses, title, verdict: 'not applicable', evidence: differs, trace: [] }
  const lacking = check.needs.map((need) => lacks(need, deployment)).find((lack) => lack !== undefined)
  if (lacking !== undefined) return { clauses, title, verdict: 'not tried', evidence: lacking, trace: [] }
  const attempt = new Attempt(deployment, number)
  const { verdict, evidence } = await verdictOf(check, attempt)
  const trace = [...attempt.trace.lines]
  await attempt.end()
  return { clauses, title, verdict, evidence: withoutTokens(evidence), trace }
}

async function verdictOf(check: Check, attempt: Attempt): Promise<{ verdict: Verdict; evidence: string }> {
  const boundMs = stepsMax * attempt.timeoutMs + waitsMs
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Broken(`the check did not come to its end within ${boundMs / 1_000} s`)), boundMs)
  })
  try {
    return { verdict: 'passed', evidence: await Promise.race([check.run(attempt), late]) }
  } catch (error) {
    if (error instanceof NotTried) return { verdict: 'not tried', evidence: error.message }
    if (error instanceof NotApplicable) return { verdict: 'not applicable', evidence: error.message }
    if (error instanceof Broken) return { verdict: 'failed', evidence: error.message }
    // An answer of another form than the check can read.
    return { verdict: 'failed', evidence: `what came back cannot be read: ${String(error)}` }
  } finally {
    clearTimeout(timer)
  }
}

/** Why a check cannot be tried, if so. */
function lacks(need: Need, deployment: Deployment): string | undefined {
  const { http, tcp, ws, mqtt, second, options, engine } = deployment
  const there: Readonly<Record<Need, boolean>> = {
    mqtt: mqtt !== undefined,
    tcp: tcp !== undefined,
    ws: ws !== undefined,
    http: http !== undefined,
    'second user': second !== undefined,
    space: options.space !== undefined,
    'short token': options.shortToken !== undefined,
  }
  if (need === 'tcp' && engine === 'aws-iot') return 'it needs MQTT over TCP, which AWS IoT Core does not offer to these clients'
  return there[need] ? undefined : lackings[need]
}

const lackings: Readonly<Record<Need, string>> = {
  mqtt: 'it needs MQTT, and nobody says where that is (--mqtt-url)',
  tcp: 'it needs MQTT over TCP, and nobody says where that is (--mqtt-url)',
  ws: 'it needs MQTT over WebSocket, and nobody says where that is (--ws-url)',
  http: 'it needs HTTP, and nobody says where that is (--http-url)',
  'second user': 'it needs a second user (--as)',
  space: 'it needs a space that both users may write to (--space)',
  'short token': 'it needs tokens that expire within seconds (--short-token-command)',
}

/** Deletes what was published with retain. Says what could not be deleted. */
async function removeRetained(deployment: Deployment): Promise<string | undefined> {
  for (const [name, topics] of deployment.retained) {
    const user = [deployment.first, deployment.second].find((candidate) => candidate?.name === name)
    if (!user) continue
    const person = new Person({ deployment, user, levels: deployment.root, trace: new Trace() })
    try {
      await removeAll(
        person,
        [...topics].filter((topic) => topic.includes(deployment.root) && !isMessage(topic)),
        deployment,
      )
    } catch (error) {
      return `retained topics below ${deployment.root} may be left: ${error instanceof Error ? error.message : String(error)}`
    } finally {
      await person.leave()
    }
  }
  return undefined
}

/** Between users nothing is retained [P-15.8]. */
function isMessage(topic: string): boolean {
  return /^(?:outbox|inbox)\//.test(topic)
}

async function removeAll(person: Person, topics: readonly string[], { mqtt, http, engine }: Deployment): Promise<void> {
  // Where AWS carries the connections nothing may be retained but by a put.
  const isByHttp = mqtt === undefined || (engine === 'aws-iot' && http !== undefined)
  const wire = isByHttp ? undefined : await person.connect()
  for (const topic of topics) {
    if (wire) await wire.publish(topic, '', { retain: true })
    else {
      const [kind = '', id = '', ...below] = topic.split('/')
      await person.ask(`/v1/streams/${pathOf(`${kind}/${id}`)}/entries`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ topic: below.join('/'), retain: true }),
      })
    }
  }
}
