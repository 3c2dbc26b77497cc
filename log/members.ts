/**
 * Who was withdrawn from a space [P-16.1]. Each withdrawal is an entry of the space's log on `$acl`, which the fold keeps: it
 * holds for every token that was issued before it.
 */
import { randomUUID } from 'node:crypto'
import { SyncError } from '../protocol/errors.ts'
import { aclTopicLevel } from '../protocol/topics.ts'
import { encodeFrame, type Draft } from './draft.ts'
import type { Log } from './log.ts'

/** Who asks, as far as membership goes. */
export interface Member {
  readonly uid: string
  /** The original `iat` of the token, ms. */
  readonly issuedAtMs: number
}

/** Whether somebody can be withdrawn from the stream. */
export function hasMembers(stream: string): boolean {
  return stream.startsWith('spaces/')
}

/** Where the server writes about the members of a stream; undefined where it has none. */
export function aclTopicOf(stream: string): string | undefined {
  return hasMembers(stream) ? `${stream}/${aclTopicLevel}` : undefined
}

/** Withdraws a user from a space; resolves when that is on disk. Rejects with `forbidden` where `by` was withdrawn as well. */
export function withdraw(log: Log, space: string, uid: string, by: Member & { readonly client: string }): Promise<Draft> {
  const topic = `${space}/${aclTopicLevel}`
  const frame = encodeFrame(topic, Buffer.from(JSON.stringify({ withdrawn: uid })))
  const { uid: from, client, issuedAtMs } = by
  const receivedMs = log.clock.now()
  return log.publish(space, { topic, ...frame, qos: 1, retain: false, from, client, id: randomUUID(), issuedAtMs, receivedMs })
}

/** The uid that an entry on `$acl` withdraws. */
export function withdrawnBy(payload: Buffer): string {
  return (JSON.parse(payload.toString()) as { withdrawn: string }).withdrawn
}

/** Whether the state at the head does not say that the user was withdrawn after the token was issued. */
export async function isMember(log: Log, name: string, { uid, issuedAtMs }: Member): Promise<boolean> {
  return !hasMembers(name) || (await log.state(await log.stream(name))).isMember(uid, issuedAtMs)
}

/** Throws `forbidden` for a user who is no member, as `isMember` says. */
export async function mustBeMember(log: Log, name: string, member: Member): Promise<void> {
  if (!(await isMember(log, name, member))) throw withdrawn(member.uid, name)
}

export function withdrawn(uid: string, stream: string): SyncError {
  return new SyncError('forbidden', `${uid} was withdrawn from ${stream} after the token was issued [P-16.2]`)
}
