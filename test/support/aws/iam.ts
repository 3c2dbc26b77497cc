/**
 * IAM's evaluation of role policies and a session policy, written from AWS's own documents and from nothing of ours:
 * what the tests judge our policies by. Every layer must allow, a deny anywhere wins, silence denies.
 */
export interface IamDocument {
  readonly Version?: string
  readonly Statement: IamStatement | readonly IamStatement[]
}

export interface IamStatement {
  readonly Effect: string
  readonly Action?: string | readonly string[]
  readonly NotAction?: string | readonly string[]
  readonly Resource?: string | readonly string[]
  readonly NotResource?: string | readonly string[]
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>
}

/** Values of condition keys and policy variables, by name in lower case. */
export type IamContext = Readonly<Record<string, string | readonly string[]>>

export interface IamRequest {
  readonly action: string
  /** An ARN. */
  readonly resource: string
  readonly context?: IamContext
}

/** Whether every layer allows it: a layer is the policies of one kind, such as those of the role, or the session policy. */
export function isAllowed(layers: readonly (readonly IamDocument[])[], request: IamRequest): boolean {
  return layers.length > 0 && layers.map((documents) => decide(documents, request)).every((decision) => decision === 'allow')
}

function decide(documents: readonly IamDocument[], request: IamRequest): 'allow' | 'deny' | 'nothing' {
  let found: 'allow' | 'nothing' = 'nothing'
  for (const document of documents) {
    for (const statement of listOf(document.Statement)) {
      if (!applies(statement, request, document.Version === '2012-10-17')) continue
      if (statement.Effect === 'Deny') return 'deny'
      found = 'allow'
    }
  }
  return found
}

function applies(statement: IamStatement, { action, resource, context = {} }: IamRequest, hasVariables: boolean): boolean {
  const { Action, NotAction, Resource, NotResource, Condition = {} } = statement
  // Action names have no variables, and their case does not matter.
  const named = listOf(Action ?? NotAction).some((pattern) => matches(tokensOf(pattern.toLowerCase(), undefined), action.toLowerCase()))
  if (named !== (Action !== undefined)) return false
  const meant = listOf(Resource ?? NotResource).some((pattern) => arnMatches(pattern, resource, hasVariables ? context : undefined))
  if (meant !== (Resource !== undefined)) return false
  return Object.entries(Condition).every(([operator, keys]) =>
    Object.entries(keys).every(([key, wanted]) =>
      holds(operator, listOf(context[key.toLowerCase()]), listOf(wanted), hasVariables ? context : undefined),
    ),
  )
}

/** Field by field; only the sixth, which may hold colons itself, knows variables. */
function arnMatches(pattern: string, arn: string, variables: IamContext | undefined): boolean {
  if (pattern === '*') return true
  const [patterns, fields] = [fieldsOf(pattern), fieldsOf(arn)]
  if (patterns.length !== 6 || fields.length !== 6) return false
  return fields.every((field, at) => matches(tokensOf(patterns[at] as string, at === 5 ? variables : undefined), field))
}

function fieldsOf(arn: string): string[] {
  const parts = arn.split(':')
  return parts.length < 6 ? parts : [...parts.slice(0, 5), parts.slice(5).join(':')]
}

/** A character, one of any, or any number of them. Undefined: a variable without a value, which nothing matches. */
type Token = string | typeof single | typeof several
const single = Symbol('single')
const several = Symbol('several')

/** Patterns without variables, read once: a policy is asked again and again. */
const known = new Map<string, readonly Token[]>()

function tokensOf(pattern: string, variables: IamContext | undefined): readonly Token[] | undefined {
  if (variables && pattern.includes('${')) return read(pattern, variables)
  const tokens = known.get(pattern) ?? read(pattern, undefined)
  if (tokens) known.set(pattern, tokens)
  return tokens
}

function read(pattern: string, variables: IamContext | undefined): readonly Token[] | undefined {
  const tokens: Token[] = []
  for (let at = 0; at < pattern.length; at++) {
    const end = variables && pattern.startsWith('${', at) ? pattern.indexOf('}', at) : -1
    if (end >= 0 && variables) {
      const value = valueOf(pattern.slice(at + 2, end), variables)
      if (value === undefined) return undefined
      // What a variable stands for is never a wildcard.
      tokens.push(...Array.from(value))
      at = end
      continue
    }
    const character = String.fromCodePoint(pattern.codePointAt(at) as number)
    tokens.push(character === '*' ? several : character === '?' ? single : character)
    at += character.length - 1
  }
  return tokens
}

function valueOf(name: string, variables: IamContext): string | undefined {
  if (name === '*' || name === '?' || name === '$') return name
  const [, key = '', preset] = /^\s*([^,]*?)\s*(?:,\s*'(.*)'\s*)?$/s.exec(name) ?? []
  const value = variables[key.toLowerCase()]
  return typeof value === 'string' ? value : preset
}

/** Each `*` takes as little as it can; where that was too little, the last one takes one character more. */
function matches(tokens: readonly Token[] | undefined, text: string): boolean {
  if (!tokens) return false
  const characters = Array.from(text)
  let [token, at, lastSeveral, tried] = [0, 0, -1, 0]
  while (at < characters.length) {
    if (token < tokens.length && (tokens[token] === single || tokens[token] === characters[at])) {
      token++
      at++
    } else if (tokens[token] === several) {
      lastSeveral = token++
      tried = at
    } else if (lastSeveral >= 0) {
      token = lastSeveral + 1
      at = ++tried
    } else {
      return false
    }
  }
  while (tokens[token] === several) token++
  return token === tokens.length
}

const comparisons: Readonly<Record<string, (have: string, want: string, variables: IamContext | undefined) => boolean>> = {
  StringEquals: (have, want) => have === want,
  StringEqualsIgnoreCase: (have, want) => have.toLowerCase() === want.toLowerCase(),
  StringLike: (have, want, variables) => matches(tokensOf(want, variables), have),
  ArnLike: (have, want, variables) => arnMatches(want, have, variables),
  Bool: (have, want) => have === want,
  DateLessThan: (have, want) => Date.parse(have) < Date.parse(want),
  DateGreaterThan: (have, want) => Date.parse(have) > Date.parse(want),
  DateGreaterThanEquals: (have, want) => Date.parse(have) >= Date.parse(want),
}

function holds(operator: string, have: readonly string[], wanted: readonly string[], variables: IamContext | undefined): boolean {
  const [, set, rest = ''] = /^(?:(ForAnyValue|ForAllValues):)?(.*)$/.exec(operator) ?? []
  if (rest === 'Null') return (have.length === 0) === (wanted[0] === 'true')
  const [, base = '', ifExists] = /^(.*?)(IfExists)?$/.exec(rest) ?? []
  const isNegative = base.startsWith('StringNot')
  const compare = comparisons[base.replace('StringNot', 'String')]
  if (!compare) throw new Error(`the condition operator ${operator} is not known here`)
  // Without a value: all of none are; a negated operator and IfExists are true; everything else is false.
  if (have.length === 0) return set === 'ForAllValues' || ifExists !== undefined || (isNegative && set === undefined)
  const fits = (value: string): boolean => wanted.some((want) => compare(value, want, variables)) !== isNegative
  return set === 'ForAnyValue' ? have.some(fits) : have.every(fits)
}

function listOf<T>(value: T | readonly T[] | undefined): readonly T[] {
  if (value === undefined) return []
  return Array.isArray(value) ? (value as readonly T[]) : [value as T]
}
