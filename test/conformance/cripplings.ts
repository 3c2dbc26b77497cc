/** Servers with a fault each, and which checks of conformance must find them out. */
import type { IPublishPacket, Packet } from 'mqtt-packet'
import type { Fault, HttpAnswer, HttpAsked } from './crippled.ts'

export interface Crippling {
  readonly chapter: number
  readonly what: string
  readonly fault: Fault
  /** Main clauses of checks that fail, and what they say. */
  readonly fails: Readonly<Record<string, RegExp>>
  /** Some that the fault does not touch. */
  readonly passes: readonly string[]
}

export const cripplings: readonly Crippling[] = [
  {
    chapter: 1,
    what: 'that says of every filter that it is granted',
    fault: { toClient: suback((code) => (code === 0x80 ? 1 : code)) },
    fails: { 'P-1.15': /SUBACK of .*: expected \[128\], got \[1\]/, 'P-1.22': /\$SYS/, 'P-1.30': /users\/#/ },
    passes: ['P-1.1', 'P-1.34'],
  },
  {
    chapter: 1,
    what: 'whose history is empty',
    fault: { answer: json((page) => ('entries' in page ? { ...page, entries: [] } : page)) },
    fails: { 'P-1.1': /after three appends the history has 0/, 'P-11.22': /after five appends the history has 0/ },
    passes: ['P-1.34'],
  },
  {
    chapter: 2,
    what: 'whose history has positions of its own, and serves every one',
    fault: {
      answer: (answer, { method, url }) =>
        method === 'GET' && /\/entries/.test(url)
          ? {
              ...answer,
              status: answer.status === 410 ? 200 : answer.status,
              body: answer.body.replaceAll(/("pos":"[\w-]{8}\.\d+\.)[\w-]{4}/g, '$1zzzz'),
            }
          : answer,
    },
    fails: {
      'P-2.7': /the position in the history/,
      'P-2.10': /expected 410, got 200/,
      'P-2.11': /expected 410/,
      'P-2.13': /expected 410/,
    },
    passes: ['P-2.1', 'P-2.9'],
  },
  {
    chapter: 3,
    what: 'that parses JSON and writes it again, and drops what is ephemeral',
    fault: {
      toClient: publish((packet) => {
        const text = packet.payload.toString()
        if (packet.qos === 0 && text === 'ephemeral') return []
        return packet.topic.startsWith('sync') ? [{ ...packet, payload: JSON.stringify(JSON.parse(text)) }] : [packet]
      }),
      answer: body((text) => text.replaceAll('"deleted":true', '"deleted":false')),
    },
    fails: { 'P-3.14': /the bytes of the payload do not stand in/, 'P-3.1': /a message did not come/, 'P-3.9': /retain, deleted/ },
    passes: ['P-3.5', 'P-3.13'],
  },
  {
    chapter: 3,
    what: 'that tells a receipt with nothing in it',
    fault: {
      toClient: publish((packet) => [{ ...packet, payload: packet.payload.toString().replace(/"hops":\{[^}]*\}/, '"hops":{}') }]),
    },
    fails: { 'P-3.17': /incomplete: \{\}/ },
    passes: ['P-3.13'],
  },
  {
    chapter: 4,
    what: 'that acknowledges what it does not store',
    fault: {
      instead: (packet) =>
        packet.cmd === 'publish' && packet.qos > 0 && packet.topic.endsWith('/x')
          ? [packet.qos === 1 ? { cmd: 'puback', messageId: packet.messageId ?? 0 } : { cmd: 'pubrec', messageId: packet.messageId ?? 0 }]
          : undefined,
    },
    fails: { 'P-4.2': /the newest entry right after the PUBACK: expected "one", got nothing/, 'P-4.3': /entries after the PUBREC/ },
    passes: ['P-4.9', 'P-4.11'],
  },
  {
    chapter: 4,
    what: 'that does not acknowledge',
    fault: { toClient: (packet) => (packet.cmd === 'puback' ? [] : [packet]) },
    fails: { 'P-4.2': /PUBACK did not come/, 'P-4.6': /PUBACK did not come/ },
    passes: ['P-4.9'],
  },
  {
    chapter: 4,
    what: 'that loses the retain flag, DUP and session present',
    fault: {
      toClient: (packet) => {
        if (packet.cmd === 'connack') return [{ ...packet, sessionPresent: false }]
        return packet.cmd === 'publish' ? [{ ...packet, retain: false, dup: false }] : [packet]
      },
    },
    fails: { 'P-4.12': /retained messages/, 'P-4.18': /DUP is false/, 'P-4.17': /session present is 0/, 'P-4.21': /session present/ },
    passes: ['P-4.2', 'P-4.11'],
  },
  {
    chapter: 4,
    what: 'that never closes a connection, and grants QoS 2',
    fault: { holdsOpen: true, toClient: suback((code) => (code === 1 ? 2 : code)) },
    fails: { 'P-4.5': /the connection was not closed/, 'P-4.26': /the connection was not closed/, 'P-4.7': /SUBACK of a filter at QoS 2/ },
    passes: ['P-4.10'],
  },
  {
    chapter: 4,
    what: 'that sends one entry in five twice',
    fault: { toClient: publish((packet) => (/[05]$/.test(packet.payload.toString()) ? [packet, { ...packet, qos: 0 }] : [packet])) },
    fails: { 'P-4.17': /what came/, 'P-4.11': /live, beside the history/, 'P-4.12': /heard/ },
    passes: ['P-4.14', 'P-4.28'],
  },
  {
    chapter: 5,
    what: 'that answers puts with another code, and not always',
    fault: {
      toClient: publish((packet) => {
        const text = packet.payload.toString()
        if (/"id":"[\w-]+-(?:put-1|first)"/.test(text) && packet.topic.startsWith('reply/')) return []
        return [{ ...packet, payload: text.replace('"bad-put"', '"bad-request"') }]
      }),
    },
    fails: {
      'P-5.1': /the answer to the put [\w-]+-put-1 did not come/,
      'P-5.12': /the PUBACK came before the answer/,
      'P-5.9': /bad-put/,
      'P-5.15': /bad-put for/,
    },
    passes: ['P-5.17', 'P-5.18'],
  },
  {
    chapter: 6,
    what: 'that leaves entries out, and goes on where it should reset',
    fault: {
      toClient: publish((packet) => {
        const text = packet.payload.toString()
        if (packet.topic.startsWith('sync') && /"data":7\b/.test(text)) return []
        return [{ ...packet, payload: text.replace('"ctl":"reset"', '"ctl":"at"') }]
      }),
    },
    fails: { 'P-6.2': /seq \d+ comes after \d+/, 'P-6.11': /reset .* did not come/, 'P-6.7': /a reader/ },
    passes: ['P-6.1', 'P-6.21'],
  },
  {
    chapter: 7,
    what: 'that lets everybody in, and says nothing of renewals',
    fault: {
      holdsOpen: true,
      toClient: (packet) => {
        if (packet.cmd === 'connack') return [{ ...packet, returnCode: 0 }]
        return packet.cmd === 'publish' && /"ctl":"rene/.test(packet.payload.toString()) ? [] : [packet]
      },
    },
    fails: {
      'P-7.14': /CONNACK of an empty one/,
      'P-7.16': /CONNACK: expected 4, got 0/,
      'P-7.5': /the PUBACK came before the answer/,
      'P-7.19': /was not closed/,
      'P-7.11': /was not closed/,
    },
    passes: ['P-7.13', 'P-7.18'],
  },
  {
    chapter: 8,
    what: 'whose history is in another order than was acknowledged',
    fault: { answer: json((page) => ({ ...page, entries: (page['entries'] as unknown[] | undefined)?.toReversed() })) },
    fails: { 'P-8.9': /the history: expected/ },
    passes: ['P-8.5', 'P-8.12'],
  },
  {
    chapter: 8,
    what: 'that says 201 with another position than the entry has',
    fault: {
      answer: (answer, { method }) =>
        method === 'POST' ? { ...answer, body: answer.body.replace(/"pos":"([\w-]{8})\.(\d+)/, '"pos":"$1.9$2') } : answer,
    },
    fails: { 'P-8.5': /the history/, 'P-8.10': /the numbers are/ },
    passes: ['P-8.9'],
  },
  {
    chapter: 9,
    what: 'that says nothing of duplicates, and takes every condition',
    fault: {
      toClient: publish((packet) => {
        const text = packet.payload.toString().replace(',"duplicate":true', '')
        return [{ ...packet, payload: text.replace(/"error":"conflict".*$/, '"pos":"aaaaaaaa.1.aaaa"}') }]
      }),
      answer: (answer) => (answer.status === 422 ? { ...answer, status: 200 } : answer),
    },
    fails: {
      'P-9.6': /pos and duplicate/,
      'P-9.7': /expected 422, got 200/,
      'P-9.12': /error, and the current entry/,
      'P-9.16': /the answers/,
    },
    passes: ['P-9.1', 'P-9.9'],
  },
  {
    chapter: 10,
    what: 'that lets every token do everything',
    fault: {
      toClient: suback((code) => (code === 0x80 ? 1 : code)),
      answer: (answer) => {
        const { 'cache-control': _none, ...headers } = answer.headers
        return { ...answer, headers, status: answer.status === 401 || answer.status === 403 ? 200 : answer.status }
      },
    },
    fails: {
      'P-10.1': /without a token: expected 401, got 200/,
      'P-10.2': /alg none: expected 401/,
      'P-10.9': /SUBACK/,
      'P-10.18': /Cache-Control/,
      'P-10.21': /reading the whole stream: expected 403/,
      'P-10.13': /without ops:/,
    },
    passes: ['P-10.19', 'P-10.20'],
  },
  {
    chapter: 10,
    what: 'whose broker tokens forget when their subject token was issued',
    fault: {
      answer: (answer, { url }) =>
        url === '/v1/token'
          ? { ...answer, body: answer.body.replace(/"access_token":"([^"]+)"/, (_all, token: string) => forgetful(token)) }
          : answer,
    },
    fails: { 'P-10.20': /no claim has the iat/ },
    passes: ['P-10.19'],
  },
  {
    chapter: 11,
    what: 'whose pages lack their last entry, and say that they are the last',
    fault: { answer: json((page) => ({ ...page, entries: (page['entries'] as unknown[] | undefined)?.slice(0, -1), upToDate: true })) },
    fails: { 'P-11.2': /the pages/, 'P-11.15': /the pages/, 'P-11.18': /a\/#/, 'P-11.24': /upToDate/, 'P-11.4': /the pages/ },
    passes: ['P-11.1', 'P-11.20'],
  },
  {
    chapter: 12,
    what: 'whose refusals are JSON of its own',
    fault: {
      answer: (answer) =>
        answer.status < 400 ? answer : { ...answer, headers: { ...answer.headers, 'content-type': 'application/json' } },
    },
    fails: { 'P-12.1': /comes as application\/json/, 'P-12.6': /comes as application\/json/ },
    passes: ['P-12.4'],
  },
  {
    chapter: 13,
    what: 'without limits that it would keep to',
    fault: { holdsOpen: true, toClient: suback((code) => (code === 0x80 ? 1 : code)) },
    fails: {
      'P-13.9': /the first filter that was refused: expected 50, got -1/,
      'P-13.6': /was not closed/,
      'P-13.8': /was not closed/,
      'P-13.2': /SUBACK/,
    },
    passes: ['P-13.7', 'P-13.31'],
  },
  {
    chapter: 13,
    what: 'that reads packets of any size',
    fault: {
      instead: (packet) =>
        packet.cmd === 'subscribe' && packet.subscriptions.some(({ topic }) => topic.length > 50_000)
          ? [{ cmd: 'suback', messageId: packet.messageId ?? 0, granted: packet.subscriptions.map(() => 0x80) }]
          : undefined,
    },
    fails: { 'P-13.6': /not closed after a SUBSCRIBE/ },
    passes: ['P-13.8'],
  },
  {
    chapter: 15,
    what: 'whose inbox is empty, and takes what is published to it',
    fault: {
      answer: (answer, { url }) => {
        if (!url.includes('/inbox/')) return answer
        return answer.status === 403
          ? { ...answer, status: 201 }
          : { ...answer, body: answer.body.replace(/"entries":\[.*\],"next"/, '"entries":[],"next"') }
      },
    },
    fails: { 'P-15.1': /id/, 'P-15.2': /expected 403, got 201/, 'P-15.5': /the inbox/ },
    passes: ['P-15.8', 'P-15.9'],
  },
  {
    chapter: 18,
    what: 'whose events have ids that lead nowhere, and no filter',
    fault: {
      answer: (answer) => ({
        ...answer,
        body: answer.body.replaceAll(/^id: ?.*$/gm, 'id: 1').replaceAll(/"filter":"[^"]*"/g, '"filter":""'),
      }),
    },
    fails: { 'P-18.5': /places in the id/, 'P-18.6': /filter/, 'P-18.9': /reason, filter/ },
    passes: ['P-18.1', 'P-18.8'],
  },
  {
    chapter: 19,
    what: 'that lists everybody as connected, and on a page that may be framed',
    fault: {
      answer: (answer) => {
        const { 'content-security-policy': _none, ...headers } = answer.headers
        return { ...answer, headers, body: answer.body.replaceAll('"connected":false', '"connected":true') }
      },
    },
    fails: { 'P-19.5': /connected after DISCONNECT/, 'P-19.1': /the policy is/ },
    passes: [],
  },
  {
    chapter: 19,
    what: 'whose page may load whatever it likes',
    fault: {
      answer: (answer) =>
        'content-security-policy' in answer.headers
          ? { ...answer, headers: { ...answer.headers, 'content-security-policy': "frame-ancestors 'none'" } }
          : answer,
    },
    fails: { 'P-19.1': /may load what is not its own/ },
    passes: [],
  },
  {
    chapter: 19,
    what: 'whose page may run whatever it likes',
    fault: {
      answer: (answer) => {
        const policy = answer.headers['content-security-policy']
        if (policy === undefined) return answer
        return { ...answer, headers: { ...answer.headers, 'content-security-policy': policy.replace("script-src 'self'", 'script-src *') } }
      },
    },
    fails: { 'P-19.1': /may load what is not its own/ },
    passes: [],
  },
]

function publish(change: (packet: IPublishPacket) => readonly Packet[]): (packet: Packet) => readonly Packet[] {
  return (packet) => (packet.cmd === 'publish' ? change(packet) : [packet])
}

function suback(change: (code: number) => number): (packet: Packet) => readonly Packet[] {
  return (packet) => (packet.cmd === 'suback' ? [{ ...packet, granted: (packet.granted as number[]).map(change) }] : [packet])
}

function body(change: (text: string) => string): (answer: HttpAnswer) => HttpAnswer {
  return (answer) => ({ ...answer, body: change(answer.body) })
}

/** Answers to GET of history and state, as objects. */
function json(change: (page: Record<string, unknown>) => Record<string, unknown>): (answer: HttpAnswer, asked: HttpAsked) => HttpAnswer {
  return (answer, { method, url }) =>
    method === 'GET' && answer.status === 200 && url.startsWith('/v1/streams/')
      ? { ...answer, body: JSON.stringify(change(JSON.parse(answer.body) as Record<string, unknown>)) }
      : answer
}

/** The member of the answer with a token whose `iat` is that of its subject and nothing else is; its signature is spoilt. */
function forgetful(token: string): string {
  const [header = '', claims = '', signature = ''] = token.split('.')
  const { oiat: iat, ...rest } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as Record<string, unknown>
  const forgotten = Buffer.from(JSON.stringify({ ...rest, iat })).toString('base64url')
  return `"access_token":"${[header, forgotten, signature].join('.')}"`
}
