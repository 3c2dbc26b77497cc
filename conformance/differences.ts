/** Why a check does not apply where AWS IoT Core carries the connections: each is a row of the portability table, chapter 20. */
import type { Check } from './check.ts'

function row(name: string, there: string): Check['engines'] {
  return { 'aws-iot': `row “${name}”: ${there}` }
}

export const onAws = {
  acknowledgement: row('PUBACK of a plain publish', 'it is AWS’s own there (P-20.2)'),
  answer: row('answer to a put', 'AWS takes puts of any kind, and an answer comes to whom the token proves (P-20.3)'),
  retain: row('retain on the plain door', 'it closes the connection there (P-10.32)'),
  retained: row('retained messages', 'there are none there; the state comes over HTTP'),
  qos0: row('QoS 0', 'AWS alone delivers it there, to plain subscribers (P-20.6)'),
  qos2: row('QoS 2', 'it closes the connection there'),
  catchUp: row('catch-up on MQTT', 'there is none there; HTTP has it'),
  at: row('`at`', 'it comes there when the bridge has heard of the subscription (P-20.10)'),
  order: row('order of publishes', 'AWS promises none there'),
  delivery: row('order on the sync door', 'AWS delivers there, in any order and now and then twice (P-20.7)'),
  names: row('what is no topic of a stream', 'AWS delivers it there, and no log has it (P-20.2)'),
  levels: row('levels of a stream topic', 'root and door take two of AWS’s eight there'),
  parent: row('`a/#` and `a`', 'they do not match there'),
  denied: row('a denied SUBSCRIBE', '0x80 or a closed connection there, for all of its filters'),
  deniedPublish: row('a publish beyond the grants', 'AWS closes the connection there, for puts as well'),
  filters: row('filters of a connection', 'one too many closes the connection there'),
  sessions: row('sessions', 'AWS keeps them there, for an hour as a rule'),
  wills: row('wills', 'they are AWS’s there'),
  connect: row('a refused CONNECT', 'AWS lets nobody in by a token, and says nothing of why not'),
  keepAlive: row('keep-alive', 'AWS takes 30 to 1,200 s there'),
  renewal: row('renewal', 'there is a new connection in its place'),
  end: row('end of a token', 'its policy denies everything there; the connection may stay'),
  webSocket: row('where MQTT is', 'at AWS’s endpoint, by a signed URL'),
} as const

/** For the checks of chapter 20. */
export const onlyAws: Check['engines'] = { 'self-hosted': 'the server carries its connections itself here' }
