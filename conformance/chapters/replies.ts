/** Chapter 7, reply topics and renewal. */
import { check, must, same, type Check } from '../check.ts'
import { onAws } from '../differences.ts'
import { connectPacket } from '../connect-packet.ts'
import { seqOf } from '../positions.ts'
import { refusesFilter } from './topics.ts'

export const replies: readonly Check[] = [
  check(
    'P-7.1',
    'nothing on reply topics is kept for a session',
    ['mqtt'],
    async ({ me }) => {
      const clientId = me.newClientId()
      const wire = await me.putter({ clean: false, clientId })
      await wire.putWell(`${me.place}/x`, { id: me.id('heard'), text: 'x' })
      wire.publishNow(`put/${me.place}/x`, JSON.stringify({ id: me.id('unheard'), text: 'x' }))
      wire.cut()
      const { wire: back } = await me.knock({ clean: false, clientId })
      await back.ping()
      same(
        back.unread().map(({ topic }) => topic),
        [],
        'what came on return',
      )
      return 'an answer that was missed does not come later'
    },
    onAws.sessions,
  ),
  check('P-7.2', 'reply topics of one’s own are granted, those of another client are not', ['mqtt'], async ({ me }) => {
    const wire = await me.connect()
    const own = `reply/${wire.clientId}`
    const codes = await wire.subscribe([`${own}/#`, `${own}/+`, `${own}/some-id`, `${own}/$ctl`])
    must(!codes.includes(0x80), `SUBACK ${codes.join(' ')}`)
    await refusesFilter(me, 'reply/+/x')
    return await refusesFilter(me, 'reply/somebody-else/#')
  }),
  check(
    'P-7.5 P-7.9 P-10.24',
    'a fresh token renews the connection, told before the PUBACK',
    ['mqtt', 'http'],
    async ({ me }) => {
      const fresh = await me.brokerToken()
      const wire = await me.putter()
      const messageId = wire.publishNow('auth/renew', fresh)
      await wire.acknowledged('puback', messageId)
      const told = wire.unread().find(({ topic }) => topic === `reply/${wire.clientId}/$ctl`)
      must(told !== undefined, 'the PUBACK came before the answer')
      const { ctl, exp } = JSON.parse(told.text) as { ctl: string; exp: number }
      must(ctl === 'renewed' && exp > Date.now() / 1_000, `it says ${told.text}`)
      return `renewed, good until ${new Date(exp * 1_000).toISOString()}`
    },
    onAws.renewal,
  ),
  check(
    'P-7.6 P-12.10',
    'a renewal with what is no token is refused, and the connection stays',
    ['mqtt'],
    async ({ me }) => {
      const wire = await me.putter()
      await wire.publish('auth/renew', 'nonsense')
      const { reason } = await wire.control('renew-refused')
      same(reason, 'unauthorized', 'reason')
      await wire.putWell(`${me.place}/x`, { id: me.id('still'), text: 'here' })
      return 'renew-refused unauthorized, and the next put is taken'
    },
    onAws.renewal,
  ),
  check(
    'P-10.24 P-7.6',
    'a renewal with the token of another user is refused',
    ['mqtt', 'second user'],
    async ({ me, other }) => {
      const wire = await me.putter()
      await wire.publish('auth/renew', other.token)
      same((await wire.control('renew-refused'))['reason'], 'forbidden', 'reason')
      await wire.putWell(`${me.place}/x`, { id: me.id('still'), text: 'here' })
      return 'renew-refused forbidden, and the connection is as it was'
    },
    onAws.renewal,
  ),
  check(
    'P-7.10',
    'a renewal is stored nowhere',
    ['mqtt', 'http'],
    async ({ me }) => {
      const before = await me.head()
      const wire = await me.putter()
      await wire.publish('auth/renew', 'nonsense')
      const { pos } = await wire.putWell(`${me.place}/x`, { id: me.id('after'), text: 'x' })
      const { entries } = await me.entries({ after: before, topic: '#', limit: '1000' })
      must(
        entries.every(({ text }) => text !== 'nonsense') && entries.some((entry) => entry['pos'] === pos),
        'the renewal stands in the history',
      )
      return `the stream went on to ${seqOf(pos)} without it`
    },
    onAws.renewal,
  ),
  check(
    'P-7.4 P-10.23 P-12.11',
    'a connection is warned before its token expires, and closed then',
    ['mqtt', 'short token'],
    async (attempt) => {
      const { me } = attempt
      const { token, expiresMs } = await attempt.shortToken()
      const clientId = me.newClientId()
      const wire = await me.dial()
      const subscriptions = [{ topic: `reply/${clientId}/$ctl`, qos: 0 } as const]
      // In one write: the warning comes at once where little time is left, and it comes once.
      wire.sendTogether(connectPacket({ clientId, token }), { cmd: 'subscribe', messageId: 1, subscriptions })
      const expiring = await wire.control('auth-expiring')
      must(typeof expiring['in'] === 'number', `it says ${JSON.stringify(expiring)}`)
      await attempt.until(expiresMs - attempt.timeoutMs / 2)
      await wire.mustClose('when its token expired')
      must(Date.now() >= expiresMs - 1_500, `it was closed ${expiresMs - Date.now()} ms too early`)
      return `auth-expiring in ${String(expiring['in'])} s, and closed at the time`
    },
    onAws.end,
  ),
  check('P-10.4 P-12.11', 'an expired token is refused', ['http', 'short token'], async (attempt) => {
    const { me } = attempt
    const { token, expiresMs } = await attempt.shortToken()
    const asked = { headers: { authorization: `Bearer ${token}` }, query: { limit: '0' } }
    const path = `/v1/streams/users/${encodeURIComponent(me.uid)}/entries`
    same((await me.ask(path, asked)).status, 200, 'the answer before its end')
    await attempt.until(expiresMs + 1_500)
    const { status, json } = await me.ask(path, asked)
    same([status, json['code']], [401, 'token-expired'], 'the answer after its end')
    return '200 before, 401 token-expired after its end'
  }),
]
