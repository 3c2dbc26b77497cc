/** The shapes that requests and answers share, as JSON Schema: what is checked is what /openapi.json says. */
import { Type, type TSchema } from 'typebox'
import { errorTable, type ErrorCode } from '../protocol/errors.ts'
import { problemType, problemUri } from './problem.ts'

const examplePosition = 'Zk3rQ0aB.42.x7Qp'

export const positionText = Type.String({
  description: 'A position, opaque to clients [P-2.6].',
  examples: [examplePosition],
})

export const envelope = Type.Object(
  {
    pos: positionText,
    id: Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' }),
    ts: Type.Integer({ description: 'Time of the append, ms since 1970.' }),
    from: Type.String({ description: 'Encoded uid of the publisher.' }),
    client: Type.String({ description: 'Encoded client id of the publisher; ~http over HTTP with a token that names none.' }),
    topic: Type.String({ description: 'The full topic.' }),
    retain: Type.Optional(Type.Literal(true)),
    deleted: Type.Optional(Type.Literal(true)),
    data: Type.Optional(Type.Unknown({ description: 'The payload, where it is JSON.' })),
    text: Type.Optional(Type.String({ description: 'The payload, where it is other UTF-8.' })),
    base64: Type.Optional(Type.String({ description: 'Any other payload, RFC 4648 section 4.' })),
    hops: Type.Optional(
      Type.Object({ received: Type.Integer(), authorised: Type.Integer(), committed: Type.Integer(), written: Type.Integer() }),
    ),
  },
  {
    description: 'An entry [P-3.3 – P-3.12].',
    examples: [
      {
        pos: examplePosition,
        id: 'note-1-v2',
        ts: 1_763_712_000_000,
        from: 'alice',
        client: 'phone',
        topic: 'users/alice/notes/1',
        retain: true,
        data: { title: 'Milk' },
      },
    ],
  },
)

/** `{kind}/{id}` of a path [P-11.13]. */
export const streamPath = Type.Object({
  kind: Type.String({ description: 'users, spaces, outbox, inbox, or open where it is on.', examples: ['users'] }),
  id: Type.String({ description: 'The encoded uid or space id; - for open.', examples: ['alice'] }),
})

export const belowFilter = Type.String({
  description: 'MQTT filter on the levels below the stream; default #. In a URL, + is written %2B and # %23.',
  examples: ['notes/#'],
})

/** Routes with this need a token. */
export const bearer: { readonly [scheme: string]: readonly string[] }[] = [{ bearer: [] }]

/** How an answer with this schema is documented; what is sent is made by the route. */
export function answer(description: string, schema: TSchema, type = 'application/json'): DocumentedResponse {
  return { description, content: { [type]: { schema } } }
}

interface DocumentedResponse {
  readonly description: string
  readonly content: Readonly<Record<string, { readonly schema: TSchema; readonly examples?: object }>>
}

/** The refusals of a route, by status. */
export function problems(...codes: readonly ErrorCode[]): Record<number, DocumentedResponse> {
  const responses: Record<number, DocumentedResponse> = {}
  for (const { status } of codes.map((code) => errorTable[code])) {
    const here = codes.filter((code) => errorTable[code].status === status)
    responses[status] = {
      description: here.map((code) => `${code}: ${errorTable[code].title}`).join('. '),
      content: {
        [problemType]: { schema: problem, examples: Object.fromEntries(here.map((code) => [code, { value: exampleProblem(code) }])) },
      },
    }
  }
  return responses
}

const problem = Type.Object(
  {
    type: Type.String({ description: 'urn:tidemark:error:{code}' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    code: Type.String({ enum: Object.keys(errorTable), description: 'What to decide by [P-12.2].' }),
    reason: Type.Optional(Type.String({ description: 'With 410: trimmed, epoch or ahead.' })),
    first: Type.Optional(positionText),
    head: Type.Optional(positionText),
    filter: Type.Optional(Type.String({ description: 'Of an event stream with several: the one that is refused.' })),
    current: Type.Optional(Type.Union([envelope, Type.Null()], { description: 'With 412: the entry that stands.' })),
  },
  { description: 'RFC 9457 [P-12.1].' },
)

function exampleProblem(code: ErrorCode): object {
  const { title, status } = errorTable[code]
  const members =
    status === 410 ? { reason: code, first: 'Zk3rQ0aB.7.p0Zr', head: examplePosition } : status === 412 ? { current: null } : {}
  return { type: problemUri(code), title, status, detail: `${title}.`, code, ...members }
}
