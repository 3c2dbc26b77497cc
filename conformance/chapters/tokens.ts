/** Chapter 10: tokens and grants. */
import type { Attempt } from '../attempt.ts'
import { check, must, NotTried, same, type Check } from '../check.ts'
import { onAws } from '../differences.ts'
import { partOf } from '../deployment.ts'
import { mustAnswer, mustRefuse } from '../http.ts'

const hourS = 3_600

export const tokens: readonly Check[] = [
  check('P-10.1 P-11.34', 'a token counts in the header Authorization only', ['http'], async ({ me }) => {
    const path = entriesOf(me.uid)
    mustAnswer(await me.ask(path), 200, 'with the header')
    const without = mustRefuse(await me.ask(path, { headers: { authorization: '' } }), 401, 'unauthorized', 'without a token')
    must(/^Bearer\b/.test(without.headers.get('www-authenticate') ?? ''), 'WWW-Authenticate: Bearer is missing')
    const cookie = { authorization: '', cookie: `token=${me.token}; access_token=${me.token}` }
    same((await me.ask(path, { headers: cookie })).status, 401, 'the token as a cookie')
    const { status } = await me.ask(path, { headers: { authorization: '' }, query: { access_token: me.token } })
    must(status === 401 || status === 400, `the token in the URL was answered ${status}`)
    return '401 with WWW-Authenticate without it, as a cookie and in the URL'
  }),
  check('P-10.2', 'a token with another signature, or none, is refused', ['http'], async ({ me }) => {
    const [header = '', claims = '', signature = ''] = me.token.split('.')
    const none = Buffer.from(JSON.stringify({ ...partOf(me.token, 'header'), alg: 'none' })).toString('base64url')
    const admin = Buffer.from(JSON.stringify({ ...partOf(me.token, 'claims'), sub: 'somebody' })).toString('base64url')
    const forged: Readonly<Record<string, string>> = {
      'alg none': `${none}.${claims}.`,
      'alg none with a signature': `${none}.${claims}.${signature}`,
      'other claims': `${header}.${admin}.${signature}`,
      'no signature': `${header}.${claims}.`,
      'a spoilt signature': `${header}.${claims}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`,
    }
    for (const [what, token] of Object.entries(forged))
      mustRefuse(await me.ask(entriesOf(me.uid), { headers: { authorization: `Bearer ${token}` } }), 401, 'unauthorized', what)
    return `${Object.keys(forged).join(', ')}: 401`
  }),
  check('P-10.6', 'a token of more than tokenBytesMax bytes is refused', ['http'], async ({ me }) => {
    const { status } = await me.ask(entriesOf(me.uid), { headers: { authorization: `Bearer ${me.token}${'A'.repeat(9_000)}` } })
    // A server of HTTP may refuse so long a header by itself.
    must(status === 401 || status === 431, `a token of more than 9,000 bytes was answered ${status}`)
    return `9,000 bytes more: ${status}`
  }),
  check(
    'P-10.9 P-10.10 P-10.15',
    'every door gives the same judgement of another user’s topics',
    ['mqtt', 'http'],
    async ({ me, strangerUid }) => {
      const stream = `users/${strangerUid}`
      const wire = await me.putter()
      same(await wire.subscribe([`${stream}/#`, `sync/${stream}/#`]), [0x80, 0x80], 'SUBACK')
      same((await wire.put(`${stream}/x`, { id: me.id('x'), text: 'x' }))['error'], 'forbidden', 'a put')
      mustRefuse(await me.ask(entriesOf(strangerUid)), 403, 'forbidden', 'the history')
      mustRefuse(await me.ask(`/v1/streams/users/${encodeURIComponent(strangerUid)}/state`), 403, 'forbidden', 'the state')
      mustRefuse(await me.postTo(stream, { topic: 'x', text: 'x' }), 403, 'forbidden', 'a POST')
      mustRefuse(await me.ask('/v1/events', { query: { from: `${stream}/#` } }), 403, 'forbidden', 'an event stream')
      return '0x80 on both doors, forbidden for put, history, state, POST and events'
    },
    onAws.denied,
  ),
  check(
    'P-10.9 P-10.10 P-1.3',
    'a second user sees and changes nothing of the first',
    ['mqtt', 'http', 'second user'],
    async ({ me, other }) => {
      const spy = await other.connect()
      same(
        await spy.subscribe([`${me.place}/#`, `sync@earliest/${me.place}/#`, `${me.place}/x`]),
        [0x80, 0x80, 0x80],
        'SUBACK of the second user',
      )
      const wire = await me.listen(`${me.place}/#`)
      await wire.publish(`${me.place}/x`, 'private', { retain: true })
      await wire.publish(`${me.place}/x`, 'live', { qos: 0 })
      await spy.ping()
      same(spy.unread(), [], 'what the second user heard')
      spy.publishNow(`${me.place}/x`, 'forged')
      await spy.mustClose('after a PUBLISH to another user', 'puback')
      mustRefuse(await other.ask(entriesOf(me.uid)), 403, 'forbidden', 'the history for the second user')
      same(
        (await me.entries()).entries.map(({ text }) => text),
        ['private'],
        'the history',
      )
      return '0x80, silence, a closed connection and 403; the history is untouched'
    },
    onAws.denied,
  ),
  check('P-10.18 P-10.19 P-11.5', 'the exchange answers as RFC 8693 says', ['http'], async ({ me }) => {
    const answer = mustAnswer(await me.exchange(), 200, 'the exchange')
    const { token_type: type, expires_in: left, limits, mqtt_url: mqtt, http_url: http, scope } = answer.json
    same([type, answer.json['issued_token_type']], ['Bearer', 'urn:ietf:params:oauth:token-type:access_token'], 'the types')
    must(typeof left === 'number' && left > 0 && left <= hourS, `expires_in is ${String(left)}`)
    must(
      [mqtt, http, scope].every((member) => typeof member === 'string') && typeof limits === 'object',
      `members are missing: ${Object.keys(answer.json).join(', ')}`,
    )
    same(answer.headers.get('cache-control'), 'no-store', 'Cache-Control')
    return `Bearer for ${left} s, no-store, ${Object.keys(answer.json).length} members`
  }),
  check('P-10.19', 'errors of the exchange are those of RFC 6749', ['http'], async ({ me }) => {
    const errors = [await me.exchange({ grant_type: 'password' }), await me.exchange({}, ''), await me.exchange({}, 'nonsense')]
    same(
      errors.map(({ json }) => json['error']),
      ['unsupported_grant_type', 'invalid_request', 'invalid_grant'],
      'error',
    )
    must(
      errors.every(({ status }) => status === 400 || status === 401),
      `status ${errors.map(({ status }) => status).join(', ')}`,
    )
    return 'unsupported_grant_type, invalid_request, invalid_grant'
  }),
  check('P-10.20', 'a broker token is of its own type, the same user, and bounded', ['http'], async ({ me }) => {
    const token = await me.brokerToken()
    const [{ typ }, claims] = [partOf(token, 'header'), partOf(token, 'claims')]
    if (partOf(me.token, 'header')['typ'] === typ) throw new NotTried('the token of the command is a broker token itself')
    const { sub, exp } = claims as { sub: string; exp: number }
    const subject = partOf(me.token, 'claims') as { iat: number; exp: number }
    same([typ, sub], ['tidemark+jwt', me.uid], 'typ and sub')
    // Its own may be of the same second.
    const others = Object.entries(claims).filter(([name]) => name !== 'iat' && name !== 'nbf')
    must(
      others.some(([, value]) => value === subject.iat),
      `no claim has the iat of its subject token, ${subject.iat}`,
    )
    must(exp <= subject.exp && exp <= Date.now() / 1_000 + hourS + 5, `exp ${exp} is beyond the subject token or an hour`)
    return `${String(typ)} of ${sub}, originally of ${subject.iat}, exp ${exp}`
  }),
  check('P-10.21 P-10.14', 'scope narrows, and never widens', ['http'], async (attempt) => {
    const { me, strangerUid } = attempt
    const scope = `subscribe:${me.place}/#`
    const token = await me.brokerToken({ scope })
    const narrowed = as(token)
    mustAnswer(await me.ask(entriesOf(me.uid), { ...narrowed, query: { topic: `${me.below}/#` } }), 200, 'reading what is left')
    mustRefuse(await me.ask(entriesOf(me.uid), narrowed), 403, 'forbidden', 'reading the whole stream')
    mustRefuse(await me.post('x', { text: 'x' }, narrowed.headers), 403, 'forbidden', 'publishing')
    same((await me.exchange({ scope: `subscribe:users/${strangerUid}/#` })).json['error'], 'invalid_scope', 'a scope beyond the token')
    same((await me.exchange({ scope: `publish:${me.place}/#` }, token)).json['error'], 'invalid_scope', 'a scope beyond the narrowed token')
    same((await me.exchange({ scope: `subscribe:${me.place}/a/#` }, token)).status, 200, 'the narrowed token, narrowed further')
    return `${scope}: reads there and nothing else; wider is invalid_scope, narrower 200`
  }),
  check(
    'P-10.18 P-10.1',
    'a broker token is accepted as MQTT password',
    ['mqtt', 'http'],
    async ({ me }) => {
      const wire = await me.connect({ token: await me.brokerToken({ scope: `publish:${me.place}/#` }) })
      await wire.publish(`${me.place}/x`, 'x')
      same(await wire.subscribe(`${me.place}/#`), [0x80], 'SUBACK of a narrowed token')
      return 'a narrowed one publishes, and may not subscribe'
    },
    onAws.connect,
  ),
  check('P-10.22', 'a token for one client is exchanged for that one only', ['http'], async ({ me }) => {
    const bound = await me.brokerToken({ client_id: 'one' })
    same((await me.exchange({ client_id: 'another' }, bound)).json['error'], 'invalid_grant', 'an exchange for another client')
    // With AWS the client is called after root and user, too [P-10.31].
    const client = String((await me.exchange({}, bound)).json['client_id'])
    same(me.isAws ? client.endsWith('=2Eone') : client, me.isAws ? true : 'one', `client_id of an exchange without one, ${client}`)
    return 'another client: invalid_grant; no client: bound still'
  }),
  check('P-10.13 P-10.25 P-11.6', 'revoking needs the grant ops:revoke', ['http'], (attempt) => needsGrant(attempt, 'ops:revoke')),
  check('P-10.13 P-17.1', 'erasing a stream needs the grant ops:erase', ['http'], (attempt) => needsGrant(attempt, 'ops:erase')),
]

/** Asks for what only this grant allows; not where the token has it. */
async function needsGrant({ me, strangerUid, deployment }: Attempt, grant: 'ops:revoke' | 'ops:erase'): Promise<string> {
  if (me.scope.includes(grant)) throw new NotTried(`the token has the grant ${grant}`)
  const body = JSON.stringify({ jti: `of-nobody-${deployment.root}` })
  const answer =
    grant === 'ops:revoke'
      ? await me.ask('/v1/revocations', { method: 'POST', body, headers: { 'content-type': 'application/json' } })
      : await me.ask(`/v1/streams/users/${encodeURIComponent(strangerUid)}`, { method: 'DELETE' })
  mustRefuse(answer, 403, 'forbidden', `without ${grant}`)
  return `without ${grant}: 403`
}

function entriesOf(uid: string): string {
  return `/v1/streams/users/${encodeURIComponent(uid)}/entries`
}

function as(token: string): { headers: Record<string, string> } {
  return { headers: { authorization: `Bearer ${token}` } }
}
