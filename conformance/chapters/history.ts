/** Chapter 11: HTTP, history and state. */
import type { Attempt } from '../attempt.ts'
import { check, must, same, type Check } from '../check.ts'
import { mustAnswer, mustRefuse } from '../http.ts'
import { mustBeContiguous, seqOf } from '../positions.ts'
import type { Json } from '../wire.ts'

const numbers = (entries: readonly Json[]): unknown[] => entries.map(({ data }) => data)

export const history: readonly Check[] = [
  check('P-11.1 P-12.13', 'a route or method that there is not is not-found', ['http'], async ({ me }) => {
    mustRefuse(await me.ask('/v1/nothing'), 404, 'not-found', 'GET /v1/nothing')
    mustRefuse(await me.ask(entriesPath(me.uid), { method: 'PUT' }), 404, 'not-found', 'PUT of entries')
    return '/v1/nothing and PUT: 404'
  }),
  check('P-11.7 P-11.8 P-11.9 P-11.11 P-11.12', 'health, keys, OpenAPI and the front page answer', ['http'], async ({ me }) => {
    const bare = { headers: { authorization: '' } }
    for (const path of ['/healthz', '/readyz', '/.well-known/jwks.json', '/openapi.json', '/'])
      mustAnswer(await me.ask(path, bare), 200, path)
    const { json: keys } = await me.ask('/.well-known/jwks.json', bare)
    must(Array.isArray(keys['keys']), 'the JWKS has no keys')
    must(
      (keys['keys'] as Json[]).every((key) => !('d' in key) && !('k' in key)),
      'the JWKS shows private keys',
    )
    const { json: api } = await me.ask('/openapi.json', bare)
    must(String(api['openapi']).startsWith('3.'), `openapi is ${String(api['openapi'])}`)
    return 'five times 200 without a token; no private key, OpenAPI 3'
  }),
  check(
    'P-11.2 P-11.14 P-11.21 P-11.22',
    'pages forwards go on without a gap or a double, and into sync@',
    ['mqtt', 'http'],
    async (attempt) => {
      const { me } = attempt
      await append(attempt, 7)
      const pages: unknown[] = []
      let after = 'earliest'
      for (let upToDate = false; !upToDate && pages.length < 10;) {
        const page = await me.entries({ after, limit: '3' })
        pages.push(numbers(page.entries))
        after = page.next
        upToDate = page.upToDate
      }
      same(pages.flat(), [1, 2, 3, 4, 5, 6, 7], 'the pages')
      if (me.isAws) return `${JSON.stringify(pages)}; sync@ is not offered here`
      const wire = await me.listen(`sync@${after}/${me.place}/#`)
      await me.append('n', { data: 8 })
      same((await wire.json((json) => 'id' in json, 'the next entry')).json['data'], 8, 'the next entry by sync@')
      return `${JSON.stringify(pages)}, and sync@${after} goes on with 8`
    },
  ),
  check('P-11.15 P-11.19 P-11.23', 'pages backwards go from the newest entry to the oldest', ['http'], async (attempt) => {
    const { me } = attempt
    await append(attempt, 7)
    const newest = await me.entries({ reverse: 'true', limit: '3' })
    const middle = await me.entries({ reverse: 'true', limit: '3', before: newest.next })
    const oldest = await me.entries({ reverse: 'true', limit: '3', before: middle.next })
    same(
      [newest, middle, oldest].map(({ entries }) => numbers(entries)),
      [[7, 6, 5], [4, 3, 2], [1]],
      'the pages',
    )
    const before = await me.entries({ before: String(newest.entries[0]?.['pos']) })
    same(numbers(before.entries), [1, 2, 3, 4, 5, 6], 'forwards, before the newest')
    return '7 6 5, 4 3 2, 1'
  }),
  check('P-11.16 P-11.17', 'since and until select by time', ['http'], async (attempt) => {
    const { me } = attempt
    await append(attempt, 3)
    const { entries } = await me.entries()
    const times = entries.map(({ ts }) => ts as number)
    const [, second = 0, third = 0] = times
    const since = await me.entries({ since: String(second) })
    const until = await me.entries({ until: String(third) })
    same(numbers(since.entries), numbers(entries.filter(({ ts }) => (ts as number) >= second)), `since ${second}`)
    same(numbers(until.entries), numbers(entries.filter(({ ts }) => (ts as number) < third)), `until ${third}`)
    return `since ${second}: ${since.entries.length}, until ${third}: ${until.entries.length} of ${entries.length}`
  }),
  check('P-11.18', 'topic is an MQTT filter below the stream', ['http'], async ({ me }) => {
    for (const topic of ['a', 'a/b', 'b/b']) await me.append(topic, { text: topic })
    const filtered = async (filter: string): Promise<unknown[]> =>
      (await me.entries({ topic: `${me.below}/${filter}` })).entries.map(({ text }) => text)
    same([await filtered('a/#'), await filtered('+/b'), await filtered('a')], [['a', 'a/b'], ['a/b', 'b/b'], ['a']], 'a/#, +/b and a')
    mustRefuse(await me.ask(entriesPath(me.uid), { query: { topic: 'a/#/b' } }), 400, 'bad-filter', 'the filter a/#/b')
    return 'a/#: a, a/b; +/b: a/b, b/b; a/#/b: bad-filter'
  }),
  check('P-11.20 P-12.5', 'limit is bounded, and what is not known is refused', ['http'], async ({ me }) => {
    for (const query of [{ limit: '1001' }, { limit: '-1' }, { limit: 'x' }, { colour: 'red' }, { reverse: 'maybe' }, { since: 'x' }])
      mustRefuse(await me.ask(entriesPath(me.uid), { query }), 400, 'bad-request', JSON.stringify(query))
    return 'limits of 1001, -1 and x, and three others: bad-request'
  }),
  check('P-11.24', 'upToDate is true exactly where nothing is left', ['http'], async (attempt) => {
    const { me } = attempt
    await append(attempt, 3)
    const told = [await me.entries({ limit: '2' }), await me.entries({ limit: '3' }), await me.entries({ limit: '1', reverse: 'true' })]
    same(
      told.map(({ upToDate }) => upToDate),
      [false, true, false],
      'upToDate of 2 of 3, of 3 of 3, and of the newest',
    )
    return '2 of 3: false; 3 of 3: true; the newest of 3, backwards: false'
  }),
  check('P-11.25', 'limit=0 says where the stream stands', ['http'], async ({ me }) => {
    const { pos } = await me.append('x', { text: 'x' })
    const { entries, head, first, next } = await me.entries({ limit: '0' })
    same(entries, [], 'entries')
    must(seqOf(head) >= seqOf(pos) && seqOf(first) <= seqOf(pos), `first ${first}, head ${head}, appended ${pos}`)
    return `first ${first}, head ${head}, next ${next}`
  }),
  check('P-11.26 P-12.17 P-12.18 P-12.19', 'a 410 says reason, first and head', ['http'], async ({ me }) => {
    const head = await me.head()
    const [epoch = '', seq = '', mark = ''] = head.split('.')
    const answer = await me.ask(entriesPath(me.uid), { query: { after: `${epoch}.${Number(seq) + 1_000_000}.${mark}` } })
    const { json } = mustRefuse(answer, 410, 'ahead', 'a position beyond the head')
    same([json['reason'], typeof json['first'], typeof json['head']], ['ahead', 'string', 'string'], 'reason, first and head')
    return `ahead, first ${String(json['first'])}, head ${String(json['head'])}`
  }),
  check('P-11.3 P-11.27 P-12.9', 'a POST takes a put and a topic', ['http'], async ({ me }) => {
    mustAnswer(await me.post('x', { data: { n: 1 } }), 201, 'a POST without an id')
    for (const body of [{ text: 'x', data: 1 }, {}, { text: 5 }, { text: 'x', if: 'none' }, { text: 'x', colour: 'red' }])
      mustRefuse(await me.post('x', body), 400, 'bad-put', JSON.stringify(body))
    mustRefuse(await me.postTo(me.stream, { text: 'x' }), 400, 'bad-put', 'a POST without a topic')
    return 'without an id: 201; five bodies that are no put, and no topic: bad-put'
  }),
  check('P-11.28', 'Idempotency-Key is the id, If-Position the condition', ['http'], async ({ me }) => {
    const keyed = mustAnswer(
      await me.post('x', { text: 'x', retain: true }, { 'idempotency-key': me.id('key'), 'if-position': 'none' }),
      201,
      'with both headers',
    )
    same(keyed.json['id'], me.id('key'), 'the id')
    mustRefuse(await me.post('x', { text: 'y', retain: true }, { 'if-position': 'none' }), 412, 'conflict', 'If-Position: none again')
    mustRefuse(
      await me.post('x', { id: me.id('a'), text: 'x' }, { 'idempotency-key': 'b' }),
      400,
      'bad-request',
      'a header and a member that differ',
    )
    return 'the key is the id, conflict, and bad-request where both differ'
  }),
  check('P-11.29 P-12.14', 'a 412 brings the current entry', ['http'], async ({ me }) => {
    const { pos } = await me.append('x', { text: 'current', retain: true })
    const answer = mustRefuse(await me.post('x', { text: 'mine', retain: true, if: 'none' }), 412, 'conflict', 'on condition of none')
    const current = answer.json['current'] as Json | null
    same([current?.['pos'], current?.['text']], [pos, 'current'], 'current')
    return `412 with current ${pos}`
  }),
  check('P-11.4 P-11.30 P-11.31 P-11.32', 'the state comes in pages of ascending position', ['http'], async ({ me }) => {
    for (const topic of ['a', 'b', 'c', 'a']) await me.append(topic, { text: topic, retain: true })
    const first = await me.state({ limit: '2' })
    const second = await me.state({ limit: '2', after: first.next })
    same(
      [first, second].map(({ entries }) => entries.map(({ text }) => text)),
      [['b', 'c'], ['a']],
      'the pages',
    )
    same([first.upToDate, second.upToDate], [false, true], 'upToDate')
    const tail = await me.append('d', { text: 'd', retain: true })
    const since = await me.entries({ after: first.pos })
    same(
      since.entries.map(({ pos }) => pos),
      [tail.pos],
      'entries after pos of the first page',
    )
    return `b, c, then a; what changes later comes after ${first.pos}`
  }),
  check('P-11.33 P-12.20', 'a body above packetBytesMax is payload-too-large', ['http'], async ({ me, limits }) => {
    const answer = await me.post('x', { text: 'x'.repeat(limits.packetBytesMax) })
    mustRefuse(answer, 413, 'payload-too-large', `a body of more than ${limits.packetBytesMax} bytes`)
    mustRefuse(
      await me.post('x', { text: 'x'.repeat(limits.payloadBytesMax + 1) }),
      413,
      'payload-too-large',
      'a payload of one byte too many',
    )
    return 'a body and a payload that are too large: 413'
  }),
  check('P-11.22', 'the whole stream has consecutive numbers', ['http'], async (attempt) => {
    const { me } = attempt
    const head = await me.head()
    await append(attempt, 5)
    const { entries } = await me.entries({ after: head, topic: '#', limit: '1000' })
    must(entries.length >= 5, `after five appends the history has ${entries.length} entries more`)
    mustBeContiguous([head, ...entries.map(({ pos }) => pos)], 'the whole stream')
    return `${entries.length} entries after ${head}, consecutive`
  }),
]

function entriesPath(uid: string): string {
  return `/v1/streams/users/${encodeURIComponent(uid)}/entries`
}

/** Entries 1, 2, 3 … of the check. */
async function append({ me }: Attempt, count: number): Promise<void> {
  for (let data = 1; data <= count; data++) await me.append('n', { data })
}
