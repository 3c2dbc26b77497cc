/** Chapter 4, sessions, take-over and wills. */
import { check, must, same, type Check } from '../check.ts'
import { onAws } from '../differences.ts'

export const sessions: readonly Check[] = [
  check(
    'P-4.16',
    'two users with the same client id do not meet',
    ['mqtt', 'second user'],
    async ({ me, other }) => {
      const clientId = me.newClientId()
      const mine = await me.connect({ clean: false, clientId })
      await mine.follow(`${me.place}/#`)
      const { wire: theirs, returnCode, sessionPresent } = await other.knock({ clean: false, clientId })
      same([returnCode, sessionPresent], [0, false], 'CONNACK of the second user')
      await mine.publish(`${me.place}/x`, 'mine')
      await mine.message(`${me.place}/x`)
      await theirs.ping()
      same(theirs.unread(), [], 'what the second user heard')
      return 'both stay connected, and the second user has a session of their own'
    },
    onAws.sessions,
  ),
  check(
    'P-4.17 P-4.21',
    'a kept session catches up without a gap, in order, before newer entries',
    ['mqtt'],
    async ({ me }) => {
      const clientId = me.newClientId()
      const reader = await me.connect({ clean: false, clientId })
      await reader.follow(`${me.place}/#`)
      await reader.disconnect()
      const writer = await me.connect()
      for (let n = 0; n < 25; n++) await writer.publish(`${me.place}/n`, String(n))
      const { wire: back, sessionPresent } = await me.knock({ clean: false, clientId })
      must(sessionPresent, 'session present is 0')
      await writer.publish(`${me.place}/n`, '25')
      const heard: string[] = []
      for (let n = 0; n < 26; n++) heard.push((await back.message()).text)
      same(
        heard,
        Array.from({ length: 26 }, (_, n) => String(n)),
        'what came',
      )
      return '25 entries while away and one more, each once and in order'
    },
    onAws.sessions,
  ),
  check(
    'P-4.18 P-4.20',
    'what was not acknowledged comes again',
    ['mqtt'],
    async ({ me }) => {
      const clientId = me.newClientId()
      const reader = await me.connect({ clean: false, clientId })
      await reader.follow(`${me.place}/#`)
      reader.acknowledges = false
      const writer = await me.connect()
      for (const text of ['one', 'two']) await writer.publish(`${me.place}/x`, text)
      const [one] = [await reader.message(), await reader.message()]
      reader.send({ cmd: 'puback', messageId: one.messageId ?? 0 })
      await reader.ping()
      reader.cut()
      const back = await me.connect({ clean: false, clientId })
      await writer.publish(`${me.place}/x`, 'three')
      const [two, three] = [await back.message(), await back.message()]
      same([two.text, three.text], ['two', 'three'], 'what came after the cut')
      must(two.dup && !three.dup, `DUP is ${two.dup} on the one sent before, ${three.dup} on the new one`)
      return 'of two deliveries one was acknowledged: the other comes again with DUP, then the new one'
    },
    onAws.sessions,
  ),
  check(
    'P-4.21 P-4.25',
    'session present is told, and clean=1 removes the session',
    ['mqtt'],
    async ({ me }) => {
      const clientId = me.newClientId()
      const present: boolean[] = []
      for (const clean of [false, false, true, false]) {
        const { wire, returnCode, sessionPresent } = await me.knock({ clean, clientId })
        same(returnCode, 0, 'CONNACK')
        if (present.length === 0) await wire.follow(`${me.place}/#`)
        present.push(sessionPresent)
        await wire.disconnect()
      }
      same(present, [false, true, false, false], 'session present')
      return 'clean=0, 0, 1, 0: session present 0, 1, 0, 0'
    },
    onAws.sessions,
  ),
  check('P-4.25', 'a clean session is forgotten with its connection', ['mqtt'], async ({ me }) => {
    const clientId = me.newClientId()
    await (await (await me.connect({ clientId })).follow(`${me.place}/#`)).disconnect()
    const writer = await me.connect()
    await writer.publish(`${me.place}/x`, 'missed')
    const { wire, sessionPresent } = await me.knock({ clean: false, clientId })
    await writer.publish(`${me.place}/x`, 'missed too')
    await wire.ping()
    same([sessionPresent, wire.unread().length], [false, 0], 'session present, and messages')
    return 'session present 0, and nothing comes'
  }),
  check('P-4.26', 'a CONNECT with the client id of a live connection closes the older one', ['mqtt'], async ({ me }) => {
    const clientId = me.newClientId()
    const older = await me.connect({ clientId })
    const newer = await me.connect({ clientId })
    await older.mustClose('when its client id connected again')
    await newer.ping()
    return 'the older connection is closed, the newer one answers'
  }),
  check('P-4.27', 'a will is published once when the connection breaks', ['mqtt'], async ({ me }) => {
    const reader = await me.listen(`${me.place}/#`)
    const will = { topic: `${me.place}/will`, payload: 'gone', qos: 1, retain: false } as const
    const dying = await me.connect({ will })
    dying.cut()
    same((await reader.message()).text, 'gone', 'the will')
    await reader.publish(`${me.place}/end`, 'end')
    same((await reader.message()).text, 'end', 'the next message')
    return 'cut: the will comes, once'
  }),
  check('P-4.27', 'a will is not published after DISCONNECT', ['mqtt'], async ({ me }) => {
    const reader = await me.listen(`${me.place}/#`)
    const leaving = await me.connect({ will: { topic: `${me.place}/will`, payload: 'gone', qos: 1, retain: false } })
    await leaving.disconnect()
    await reader.publish(`${me.place}/end`, 'end')
    same((await reader.message()).text, 'end', 'the next message')
    return 'DISCONNECT: no will'
  }),
  check(
    'P-4.27',
    'a will is published at a take-over',
    ['mqtt'],
    async ({ me }) => {
      const reader = await me.listen(`${me.place}/#`)
      const clientId = me.newClientId()
      await me.connect({ clientId, will: { topic: `${me.place}/will`, payload: 'taken over', qos: 1, retain: true } })
      await me.connect({ clientId })
      same((await reader.message()).text, 'taken over', 'the will')
      const late = await me.listen(`${me.place}/will`)
      must((await late.message()).retain, 'the will was not retained')
      return 'the will comes, and is retained as it asked'
    },
    onAws.wills,
  ),
  check(
    'P-4.28 P-7.17',
    'a will that may not be published is refused with return code 5',
    ['mqtt'],
    async ({ me, strangerUid }) => {
      const will = { topic: `users/${strangerUid}/will`, payload: 'x', qos: 1, retain: false } as const
      same((await me.knock({ will })).returnCode, 5, 'CONNACK')
      return `a will on users/${strangerUid}/will: CONNACK 5`
    },
    onAws.wills,
  ),
  check(
    'P-4.28',
    'a will on put, sync, reply or auth is refused',
    ['mqtt'],
    async ({ me }) => {
      const clientId = me.newClientId()
      for (const topic of [`put/${me.place}/x`, `sync/${me.place}/x`, `reply/${clientId}/x`, 'auth/renew']) {
        const { returnCode } = await me.knock({ clientId, will: { topic, payload: 'x', qos: 1, retain: false } })
        same(returnCode, 5, `CONNACK of a will on ${topic}`)
      }
      return 'CONNACK 5 on all four'
    },
    onAws.wills,
  ),
]
