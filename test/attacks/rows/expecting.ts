/** The answers that the spec gives to a refused attack. */
import { expect } from 'chai'
import { errorTable, type ErrorCode } from '../../../protocol/errors.ts'
import type { PublishOptions, RawClient } from '../../support/raw-mqtt.ts'
import type { Answer, Attacker } from '../cells.ts'

/** [P-4.5]: no acknowledgement, and the connection is closed. */
export async function publishCloses(
  client: RawClient,
  topic: string,
  payload: string | Buffer = 'x',
  options: PublishOptions = {},
): Promise<void> {
  client.publishNow(topic, payload, options)
  await closes(client, `a PUBLISH to ${topic}`)
}

export async function closes(client: RawClient, what: string): Promise<void> {
  await client.gone(what)
  const acknowledged = client.inbox.all.filter(({ cmd }) => cmd === 'puback' || cmd === 'pubrec' || cmd === 'pubcomp')
  expect(acknowledged, `acknowledged: ${what}`).to.deep.equal([])
}

/** [P-4.8]: 0x80 for each filter, and the connection lives. */
export async function filterRefused(client: RawClient, ...filters: string[]): Promise<void> {
  for (const filter of filters) expect(await client.subscribe(filter), `SUBACK of ${filter}`).to.deep.equal([0x80])
  await client.ping()
}

/** A problem document with this code and its status [P-12.1]. */
export function problem(answer: Answer, code: ErrorCode): void {
  const { body, status } = answer
  expect({ status, code: body['code'] }, JSON.stringify(body)).to.deep.equal({ status: errorTable[code].status, code })
  expect(body['type']).to.equal(`urn:tidemark:error:${code}`)
  if (status === 401) expect(answer.headers.get('www-authenticate')).to.match(/^Bearer/)
}

export interface PutClient {
  readonly client: RawClient
  readonly name: string
}

/** A client that hears the answers to its puts. */
export async function putClient(attack: Attacker, token: string): Promise<PutClient> {
  const name = `putter-${Math.floor(Math.random() * 1e9)}`
  const client = await attack.client(token, { clientId: name })
  expect(await client.subscribe(`reply/${name}/#`)).to.deep.equal([0])
  return { client, name }
}

/** [P-5.11]: answered with the code on the reply topic, then acknowledged, and the connection lives. */
export async function putRefused(
  { client, name }: PutClient,
  topic: string,
  put: object,
  error: ErrorCode,
): Promise<Record<string, unknown>> {
  const id = `id-${Math.floor(Math.random() * 1e9)}`
  const messageId = client.publishNow(`put/${topic}`, JSON.stringify({ id, ...put }))
  await client.expect((packet) => packet.cmd === 'puback' && packet.messageId === messageId, `the PUBACK of the put to ${topic}`)
  const answer = JSON.parse((await client.message(`reply/${name}/${id}`)).text) as Record<string, unknown>
  expect(answer, `the answer to the put to ${topic}`).to.include({ id, error })
  return answer
}
