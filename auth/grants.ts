/** Grants: what a principal may do, compiled once and matched often [P-10.9]. */
import { SyncError } from '../protocol/errors.ts'
import { quote } from '../protocol/topics.ts'

export type Verb = 'publish' | 'subscribe' | 'own'
export type BareVerb = 'tap' | 'ops:revoke' | 'ops:erase' | 'ops:metrics'

const bareVerbs: ReadonlySet<string> = new Set<BareVerb>(['tap', 'ops:revoke', 'ops:erase', 'ops:metrics'])
const verbs: ReadonlySet<string> = new Set<Verb>(['publish', 'subscribe', 'own'])

const none: ReadonlySet<string> = new Set()

/** A list of grants. They only allow; a list never forbids what another text of it allows. Immutable. */
export class Grants {
  /** The text form, without repetitions, in the order given [P-10.14]. */
  readonly texts: readonly string[]
  readonly #bare: ReadonlySet<string>
  readonly #places: Readonly<Record<Verb, Places>>

  /** Compiles the text form. Throws `bad-request` naming the first text that is no grant. */
  static parse(texts: readonly string[]): Grants {
    return new Grants([...new Set(texts)])
  }

  private constructor(texts: readonly string[]) {
    let bare: Set<string> | undefined
    const places = { publish: new Places(), subscribe: new Places(), own: new Places() }
    for (const text of texts) {
      const grant = parseGrant(text)
      if (grant.verb === undefined) (bare ??= new Set()).add(text)
      else places[grant.verb].add(grant.filter)
    }
    this.texts = texts
    this.#bare = bare ?? none
    this.#places = places
  }

  /** Whether one grant of the verb names this topic, or a prefix of its levels. The topic has no wildcards. */
  allows(verb: Verb, topic: string): boolean {
    return this.#places[verb].hold(topic)
  }

  /** Whether every topic the filter can match lies within one grant of the verb [P-4.9]. */
  covers(verb: Verb, filter: string): boolean {
    return this.#places[verb].hold(filter)
  }

  /** The exact topics and prefixes of one verb, as given. */
  filters(verb: Verb): string[] {
    return this.texts.filter((text) => !bareVerbs.has(text) && text.startsWith(`${verb}:`)).map((text) => text.slice(verb.length + 1))
  }

  has(bare: BareVerb): boolean {
    return this.#bare.has(bare)
  }

  /** These texts and no more. Throws `forbidden` for a text that does not lie within this list, `bad-request` for none [P-10.21]. */
  narrow(texts: readonly string[]): Grants {
    const narrowed = Grants.parse(texts)
    for (const text of narrowed.texts) {
      const grant = parseGrant(text)
      const within = grant.verb === undefined ? this.#bare.has(text) : this.covers(grant.verb, grant.filter)
      if (!within) throw new SyncError('forbidden', `the grant ${quote(text)} is wider than the token`)
    }
    return narrowed
  }

  /** With the reply topics of one client, whose id is encoded [P-10.16]. */
  forClient(client: string): Grants {
    return Grants.parse([...this.texts, `subscribe:reply/${client}/#`])
  }
}

/** The topics of one verb. A `prefix/#` matches what the MQTT filter matches: the prefix itself and all below it. */
class Places {
  // Made when needed: every connection has its grants, and few verbs have exact topics.
  #exact: Set<string> | undefined = undefined
  #prefixes: Set<string> | undefined = undefined

  add(filter: string): void {
    if (filter.endsWith('/#')) (this.#prefixes ??= new Set<string>()).add(filter.slice(0, -2))
    else (this.#exact ??= new Set<string>()).add(filter)
  }

  /**
   * Whether a topic, or all that a filter can match, lies within one place. The same question for both: places hold no wildcards,
   * so that a filter can only lie below a prefix made of its levels before the first wildcard.
   */
  hold(filter: string): boolean {
    const prefixes = this.#prefixes
    if (this.#exact?.has(filter) === true) return true
    if (!prefixes) return false
    if (prefixes.has(filter)) return true
    // Whole levels only: `users/al` is no prefix of `users/alice`.
    for (let slash = filter.indexOf('/'); slash >= 0; slash = filter.indexOf('/', slash + 1)) {
      if (prefixes.has(filter.slice(0, slash))) return true
    }
    return false
  }
}

type Grant = { readonly verb: undefined } | { readonly verb: Verb; readonly filter: string }

function parseGrant(text: string): Grant {
  if (bareVerbs.has(text)) return { verb: undefined }
  const colon = text.indexOf(':')
  const verb = text.slice(0, Math.max(colon, 0))
  if (!isVerb(verb)) throw badGrant(text, 'begins with no verb')
  const filter = text.slice(colon + 1)
  const problem = problemOf(filter)
  if (problem !== undefined) throw badGrant(text, problem)
  return { verb, filter }
}

function problemOf(filter: string): string | undefined {
  if (filter === '' || filter.startsWith('/')) return 'names no first level'
  // Scopes are separated by spaces, and other engines read * and ? as wildcards.
  if (/[\s\p{C}\ufffd]/u.test(filter)) return 'holds a space or an unprintable character'
  if (/[+*?]/.test(filter)) return 'holds a wildcard other than a last /#'
  const hash = filter.indexOf('#')
  if (hash >= 0 && (hash !== filter.length - 1 || !filter.endsWith('/#'))) return 'holds a # that is not its last level below a prefix'
  return undefined
}

function isVerb(text: string): text is Verb {
  return verbs.has(text)
}

function badGrant(text: string, reason: string): SyncError {
  return new SyncError('bad-request', `${quote(text)} is no grant: it ${reason}`)
}
