/**
 * Grants as IAM policies [P-10.32]: the same topics below a root, for the doors that AWS IoT Core carries. Exact topics
 * and `prefix/*` only: to IAM `*` crosses levels and `+` and `#` are letters, so that one rule decides here as there.
 */
import { SyncError } from '../../protocol/errors.ts'
import { awsPolicyCharsMax, awsPolicyDocumentsMax } from '../../seams/limits.ts'
import type { Grants } from '../grants.ts'
import type { AwsPlace } from './config.ts'

/** Whom the policy is for. */
export interface PolicySubject {
  readonly grants: Grants
  /** As in CONNECT. */
  readonly clientId: string
  /** The same, encoded: the second level of its reply topics. */
  readonly client: string
}

export interface PolicyOptions {
  /** From then on nothing is allowed, in ms. */
  readonly deadlineMs?: number | undefined
}

declare const scoped: unique symbol

/** The JSON of a policy that names what one client may do: what `AssumeRole` cannot be called without. */
export type SessionPolicy = string & { readonly [scoped]: true }

export interface PolicyDocument {
  readonly Version: '2012-10-17'
  readonly Statement: readonly Statement[]
}

export interface Statement {
  readonly Effect: 'Allow' | 'Deny'
  readonly Action: string | readonly string[]
  readonly Resource: string | readonly string[]
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string>>>>
}

/** One policy for `AssumeRole`. Throws `bad-request` where it would be too long, saying how many spaces fit [P-10.33]. */
export function sessionPolicy(place: AwsPlace, subject: PolicySubject, options: PolicyOptions = {}): SessionPolicy {
  const parts = partsOf(place, subject, options)
  const text = minified(documentOf(parts.denied, permitsOf(parts.connect, parts.streams)))
  if (text.length <= awsPolicyCharsMax) return text as SessionPolicy
  throw tooLong(parts, text.length)
}

/** Up to ten policies for the custom authorizer. Throws as `sessionPolicy`. */
export function authorizerPolicies(place: AwsPlace, subject: PolicySubject, options: PolicyOptions = {}): PolicyDocument[] {
  const parts = partsOf(place, subject, options)
  const documents: PolicyDocument[] = []
  let denied: readonly Statement[] = parts.denied
  let held: Permit[] = []
  const close = (): void => {
    documents.push(documentOf(denied, held))
    denied = []
    held = []
  }
  for (const permit of permitsOf(parts.connect, parts.streams)) {
    if (minified(documentOf(denied, [...held, permit])).length > awsPolicyCharsMax) close()
    held.push(permit)
  }
  close()
  if (documents.length > awsPolicyDocumentsMax) {
    throw new SyncError(
      'bad-request',
      `the grants need ${documents.length} policy documents, at most ${awsPolicyDocumentsMax}: ask for less scope`,
      { oauth: 'invalid_scope' },
    )
  }
  return documents
}

/** As it is counted and sent: without white space, and in ASCII, which is what STS takes. */
export function minified(document: PolicyDocument): string {
  return JSON.stringify(document).replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** A text of ours as an IAM pattern that matches it alone. Every `$` is escaped, so that none can begin a variable. */
export function iamLiteral(text: string): string {
  return text.replace(/[*?$]/g, '${$&}')
}

type Action = 'iot:Connect' | 'iot:Publish' | 'iot:Subscribe' | 'iot:Receive'

interface Permit {
  readonly actions: readonly Action[]
  readonly resource: string
}

interface Parts {
  readonly denied: readonly Statement[]
  readonly connect: Permit
  /** Own things first, spaces last. */
  readonly streams: readonly StreamPermits[]
}

interface StreamPermits {
  readonly stream: string
  readonly permits: readonly Permit[]
}

function partsOf(place: AwsPlace, { grants, clientId, client }: PolicySubject, { deadlineMs }: PolicyOptions): Parts {
  const arn = arnsOf(place)
  const published = places(grants, 'publish')
  const read = places(grants, 'subscribe')
  const denied: Statement[] = deadlineMs === undefined ? [] : [deadline(deadlineMs)]
  const kinds = read.flatMap(({ filter, levels }) => (levels.length === 1 ? [filter.slice(0, -'/#'.length)] : []))
  if (kinds.length > 0) denied.push(acrossStreams(kinds, arn))

  const streams = new Map<string, Permit[]>()
  const add = (stream: string, actions: readonly Action[], type: 'topic' | 'topicfilter', filter: string): void => {
    const permits = streams.get(stream) ?? []
    streams.set(stream, permits)
    for (const topic of topicsOf(filter)) permits.push({ actions, resource: arn(type, topic.literal) + topic.below })
  }
  const both = new Set(published.map(({ filter }) => filter).filter((filter) => read.some((other) => other.filter === filter)))
  for (const { filter, stream } of published) {
    // Who reads the stream may hear a put of it, too, but nobody can subscribe there: it saves a statement.
    const actions: readonly Action[] = both.has(filter) ? ['iot:Publish', 'iot:Receive'] : ['iot:Publish']
    for (const wire of [filter, `put/${filter}`]) add(stream, actions, 'topic', wire)
  }
  for (const { filter, stream } of [...read, { filter: `reply/${client}/#`, stream: 'reply' }]) {
    const isReply = stream === 'reply'
    for (const wire of isReply ? [filter] : [filter, `sync/${filter}`]) {
      add(stream, reading, 'topicfilter', wire)
      if (!both.has(wire)) add(stream, reading, 'topic', wire)
    }
  }
  const isSpace = (stream: string): number => (stream.startsWith('spaces/') ? 1 : 0)
  const sorted = [...streams].map(([stream, permits]) => ({ stream, permits })).sort((a, b) => isSpace(a.stream) - isSpace(b.stream))
  return { denied, connect: { actions: reading, resource: arn('client', clientId) }, streams: sorted }
}

/** Connect is only ever asked about clients, Subscribe about filters and Receive about topics, so that all may stand beside all. */
const reading: readonly Action[] = ['iot:Connect', 'iot:Subscribe', 'iot:Receive']

function permitsOf(connect: Permit, streams: readonly StreamPermits[]): Permit[] {
  return [connect, ...streams.flatMap(({ permits }) => permits)]
}

interface Place {
  readonly filter: string
  /** Of the prefix, or of the exact topic. */
  readonly levels: readonly string[]
  readonly stream: string
}

const kindsOf = {
  // Only the relay writes to an inbox; replies, envelopes and everything else are the bridge's.
  publish: new Set(['users', 'spaces', 'outbox']),
  subscribe: new Set(['users', 'spaces', 'outbox', 'inbox']),
} as const

/** What is granted below streams; what lies within another grant, and what no topic can be, is left out. */
function places(grants: Grants, verb: 'publish' | 'subscribe'): Place[] {
  const filters = grants.filters(verb).map((filter) => ({ filter, levels: prefixOf(filter).split('/') }))
  return filters
    .filter(({ filter, levels }) => kindsOf[verb].has(levels[0] as string) && (filter.endsWith('/#') || levels.length > 2))
    .filter(({ filter }) => !filters.some((other) => other.filter !== filter && lies(filter, other.filter)))
    .map(({ filter, levels }) => ({ filter, levels, stream: levels.slice(0, 2).join('/') }))
}

function lies(filter: string, within: string): boolean {
  return within.endsWith('/#') && `${prefixOf(filter)}/`.startsWith(within.slice(0, -1))
}

function prefixOf(filter: string): string {
  return filter.endsWith('/#') ? filter.slice(0, -2) : filter
}

/** The levels that a door, a kind and a name take. A prefix of more is a topic itself, as it is to MQTT [P-4.9]. */
function topicsOf(filter: string): { literal: string; below: string }[] {
  const prefix = prefixOf(filter)
  if (prefix === filter) return [{ literal: filter, below: '' }]
  const levels = prefix.split('/')
  const doors = levels[0] === 'put' || levels[0] === 'sync' ? 1 : 0
  const all = { literal: `${prefix}/`, below: '*' }
  return levels.length - doors > 2 ? [{ literal: prefix, below: '' }, all] : [all]
}

/** A grant on all streams of a kind is for any of them by name; a filter across them is what `tap` is for, which there is not here. */
function acrossStreams(kinds: readonly string[], arn: Arn): Statement {
  const resources = kinds.flatMap((kind) => [kind, `sync/${kind}`].flatMap((level) => ['+', '#'].map((wildcard) => `${level}/${wildcard}`)))
  return { Effect: 'Deny', Action: 'iot:Subscribe', Resource: resources.map((filter) => `${arn('topicfilter', filter)}*`) }
}

/** Denied, too, where AWS should not say what time it is: with `IfExists` a condition without a value is true. */
function deadline(ms: number): Statement {
  const last = new Date((Math.floor(ms / 1000) - 1) * 1000).toISOString().replace('.000', '')
  return { Effect: 'Deny', Action: '*', Resource: '*', Condition: { DateGreaterThanIfExists: { 'aws:CurrentTime': last } } }
}

type Arn = (type: 'client' | 'topic' | 'topicfilter', name: string) => string

/** Nothing before the last character is a wildcard: one in the middle would reach across levels into other streams. */
function arnsOf({ root, region, account }: AwsPlace): Arn {
  const before = `arn:${partitionOf(region)}:iot:${region}:${account}`
  return (type, name) => `${before}:${type}/${iamLiteral(type === 'client' ? name : `${root}/${name}`)}`
}

export function partitionOf(region: string): string {
  if (region.startsWith('cn-')) return 'aws-cn'
  return region.startsWith('us-gov-') ? 'aws-us-gov' : 'aws'
}

function documentOf(denied: readonly Statement[], permits: readonly Permit[]): PolicyDocument {
  const byActions = new Map<string, string[]>()
  for (const { actions, resource } of permits) {
    const key = actions.join()
    byActions.set(key, [...(byActions.get(key) ?? []), resource])
  }
  const allowed = [...byActions].map(([actions, resources]): Statement => {
    const names = actions.split(',')
    return { Effect: 'Allow', Action: names.length === 1 ? actions : names, Resource: resources }
  })
  return { Version: '2012-10-17', Statement: [...denied, ...allowed] }
}

function tooLong({ denied, connect, streams }: Parts, chars: number): SyncError {
  const isSpace = ({ stream }: StreamPermits): boolean => stream.startsWith('spaces/')
  const [own, spaces] = [streams.filter((one) => !isSpace(one)), streams.filter(isSpace)]
  const fits = (count: number): boolean =>
    minified(documentOf(denied, permitsOf(connect, [...own, ...spaces.slice(0, count)]))).length <= awsPolicyCharsMax
  let count = 0
  while (count < spaces.length && fits(count + 1)) count++
  const what = fits(0) ? `${count} of ${spaces.length} spaces fit` : 'not even what is granted beside spaces fits'
  return new SyncError(
    'bad-request',
    `the session policy would have ${chars} characters, at most ${awsPolicyCharsMax}: ${what}; ask for less scope, or let the deployment use the custom authorizer`,
    { oauth: 'invalid_scope' },
  )
}
