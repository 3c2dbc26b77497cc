/** Chapter 19: the sessions of a user. */
import { setTimeout as wait } from 'node:timers/promises'
import { check, must, NotApplicable, same, type Check } from '../check.ts'
import { onAws } from '../differences.ts'
import { mustAnswer, mustRefuse } from '../http.ts'
import type { Json } from '../wire.ts'

const pollMs = 100

export const sessionList: readonly Check[] = [
  check(
    'P-19.5 P-19.6 P-19.7 P-19.8',
    'a kept session is listed, connected and not',
    ['mqtt', 'http'],
    async ({ me, timeoutMs }) => {
      const clientId = me.newClientId()
      const listed = async (): Promise<Json | undefined> => {
        const { json } = mustAnswer(await me.ask('/v1/sessions'), 200, '/v1/sessions')
        return (json['sessions'] as Json[]).find(({ client }) => client === clientId)
      }
      const wire = await me.connect({ clean: false, clientId })
      await wire.follow(`${me.place}/#`)
      const connected = await listed()
      same([connected?.['kept'], connected?.['connected']], [true, true], 'kept and connected')
      await wire.disconnect()
      // The session is held until its place is stored, which may be after the connection is closed.
      const deadlineMs = Date.now() + timeoutMs
      let left = await listed()
      for (; left?.['connected'] !== false && Date.now() < deadlineMs; left = await listed()) await wait(pollMs)
      same(left?.['connected'], false, 'connected after DISCONNECT')
      return `${clientId}: kept, connected, then not`
    },
    onAws.sessions,
  ),
  check('P-19.5', 'the list is for the token’s own user', ['http'], async ({ me }) => {
    mustRefuse(await me.ask('/v1/sessions', { headers: { authorization: '' } }), 401, 'unauthorized', 'without a token')
    mustRefuse(await me.ask('/v1/sessions', { query: { limit: '101' } }), 400, 'bad-request', 'limit=101')
    const narrow = await me.brokerToken({ scope: `publish:${me.place}/#` })
    mustRefuse(await me.ask('/v1/sessions', { headers: { authorization: `Bearer ${narrow}` } }), 403, 'forbidden', 'without the grant')
    return '401 without a token, 403 without the grant, 400 for a limit of 101'
  }),
  check('P-19.1 P-19.3', 'the page of the console stands in no frame and loads only its own files', ['http'], async ({ me }) => {
    const answer = mustAnswer(await me.ask('/', { headers: { authorization: '', accept: 'text/html' } }), 200, 'the page')
    if (!/html/.test(answer.headers.get('content-type') ?? '')) throw new NotApplicable('the console is not installed here')
    const policy = answer.headers.get('content-security-policy') ?? ''
    must(/frame-ancestors 'none'/.test(policy), `the page may stand in a frame; the policy is ${policy}`)
    const sources = policy.split(';').map((directive) => directive.trim().split(/\s+/))
    const isOwn = sources.every(
      ([name = '', ...from]) => !name.endsWith('-src') || from.every((each) => each === "'none'" || each === "'self'"),
    )
    must(isOwn && sources.some(([name]) => name === 'default-src'), `the page may load what is not its own; the policy is ${policy}`)
    return policy
  }),
]
