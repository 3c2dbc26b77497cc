/** Chapter 12: errors. */
import { check, must, same, type Check } from '../check.ts'
import { onAws } from '../differences.ts'
import type { Answer } from '../http.ts'

/** Codes and their status, as the table of the chapter has them. */
const statusOf: Readonly<Record<string, number>> = {
  'bad-request': 400,
  'bad-topic': 400,
  'bad-filter': 400,
  'bad-position': 400,
  'bad-put': 400,
  unauthorized: 401,
  forbidden: 403,
  'not-found': 404,
  conflict: 412,
  'id-reused': 422,
  ahead: 410,
  'payload-too-large': 413,
}

export const problems: readonly Check[] = [
  check(
    'P-12.1 P-12.2 P-12.3',
    'every refusal is a problem document of RFC 9457 with its code',
    ['http'],
    async ({ me, strangerUid, limits }) => {
      const path = `/v1/streams/users/${encodeURIComponent(me.uid)}/entries`
      const [epoch = '', seq = '', mark = ''] = (await me.head()).split('.')
      await me.append('x', { id: me.id('taken'), text: 'x', retain: true })
      const refusals: Readonly<Record<string, Answer>> = {
        'bad-request': await me.ask(path, { query: { limit: 'x' } }),
        'bad-topic': await me.post('a//b', { text: 'x' }),
        'bad-filter': await me.ask(path, { query: { topic: '#/x' } }),
        'bad-position': await me.ask(path, { query: { after: 'x' } }),
        'bad-put': await me.post('x', {}),
        unauthorized: await me.ask(path, { headers: { authorization: 'Bearer nonsense' } }),
        forbidden: await me.ask(`/v1/streams/users/${encodeURIComponent(strangerUid)}/entries`),
        'not-found': await me.ask('/v1/nothing'),
        conflict: await me.post('x', { text: 'y', retain: true, if: 'none' }),
        'id-reused': await me.post('x', { id: me.id('taken'), text: 'other', retain: true }),
        ahead: await me.ask(path, { query: { after: `${epoch}.${Number(seq) + 1_000_000}.${mark}` } }),
        'payload-too-large': await me.post('x', { text: 'x'.repeat(limits.packetBytesMax) }),
      }
      for (const [code, answer] of Object.entries(refusals)) mustBeProblem(code, answer)
      return `${Object.keys(refusals).length} refusals: type, title, status, detail and code fit`
    },
  ),
  check('P-12.1', 'JSON that is none is answered with a problem document', ['http'], async ({ me }) => {
    const headers = { 'content-type': 'application/json' }
    const answer = await me.ask(`/v1/streams/users/${encodeURIComponent(me.uid)}/entries`, { method: 'POST', body: '{"topic":', headers })
    same(answer.status, 400, 'status')
    mustBeProblem(String(answer.json['code']), answer)
    return `400 ${String(answer.json['code'])}`
  }),
  check('P-12.6', 'a topic that is none is bad-topic', ['http'], async ({ me, limits }) => {
    const deep = Array.from({ length: limits.streamTopicLevelsMax }, () => 'x').join('/')
    for (const topic of ['a//b', 'a/+', 'a/#', '$x', 'a*', deep, 'x'.repeat(limits.streamTopicBytesMax)])
      mustBeProblem('bad-topic', await me.post(topic, { text: 'x' }))
    return 'an empty level, wildcards, $, *, too deep, too long: 400 bad-topic'
  }),
  check(
    'P-12.4 P-12.12 P-12.27',
    'a refused put is answered with the code that HTTP has',
    ['mqtt', 'http'],
    async ({ me, strangerUid }) => {
      const wire = await me.putter()
      const topics = [`users/${strangerUid}/x`, `${me.place}//x`, `inbox/${me.uid}/x/y`]
      const asked = [
        { topic: 'x', text: 'x' },
        { topic: `${me.below}//x`, text: 'x' },
        { topic: 'x/y', text: 'x' },
      ]
      const streams = [`users/${strangerUid}`, me.stream, `inbox/${me.uid}`]
      for (const [at, topic] of topics.entries()) {
        const put = await wire.put(topic, { id: me.id(`refused-${at}`), text: 'x' })
        const post = await me.postTo(streams[at] as string, asked[at] as { topic: string; text: string })
        same(put['error'], post.json['code'], `the code for ${topic}`)
      }
      return `${topics.join(', ')}: the same code on both`
    },
    onAws.deniedPublish,
  ),
]

function mustBeProblem(code: string, answer: Answer): void {
  const { json, headers, status } = answer
  same(json['code'], code, 'code')
  must(/^application\/problem\+json\b/.test(headers.get('content-type') ?? ''), `${code} comes as ${headers.get('content-type')}`)
  const { type, title, detail } = json
  same([type, json['status'], status], [`urn:tidemark:error:${code}`, statusOf[code], statusOf[code]], `type and status of ${code}`)
  must(typeof title === 'string' && typeof detail === 'string', `${code} comes without title or detail`)
}
