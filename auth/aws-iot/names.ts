/** What a client is called: to AWS IoT Core, to STS, and in topics. */
import { createHash, randomBytes } from 'node:crypto'
import { SyncError } from '../../protocol/errors.ts'
import { decodeName, encodeName, isCanonicalName, isCanonicalUid } from '../../protocol/names.ts'
import { awsSessionNameCharsMax } from '../../seams/limits.ts'

/**
 * The client id of an MQTT CONNECT: `{root}.{uid}.{instance}` [P-10.31]. Encoded names hold no dot, so that no two
 * users, and no two instances of one, can have the same. Throws `bad-request` where it would be too long.
 */
export function awsClientId(root: string, uid: string, instance: string, bytesMax: number): string {
  const id = `${root}.${uid}.${instance}`
  if (id.length <= bytesMax) return id
  throw new SyncError('bad-request', `the client id would be ${id.length} bytes long, at most ${bytesMax}: ask for a shorter client_id`, {
    oauth: 'invalid_request',
  })
}

/**
 * The instance that a request means by `client_id`: a name of its own, or one that was given out before with root and uid.
 * Without one the client that the subject is bound to, or a new one. Undefined: that client cannot be told from its name.
 */
export function instanceOf(root: string, uid: string, given: string | undefined, bound: string | undefined): string | undefined {
  const before = `${root}.${uid}.`
  const id = given ?? (bound === undefined ? undefined : decodeName(bound))
  if (id === undefined) return bound === undefined ? randomBytes(8).toString('base64url') : undefined
  if (!id.startsWith(before)) return encodeName(id)
  const instance = id.slice(before.length)
  return isCanonicalName(instance) ? instance : encodeName(id)
}

/** Whether a client id is one of this user: what the custom authorizer admits. */
export function isClientIdOf(root: string, uid: string, clientId: string): boolean {
  return uidOfClientId(root, clientId) === uid
}

/** Whose client id it is, as `awsClientId` makes them; undefined for every other. */
export function uidOfClientId(root: string, clientId: string): string | undefined {
  const [first, uid, instance, ...more] = clientId.split('.')
  if (first !== root || uid === undefined || instance === undefined || more.length > 0) return undefined
  return isCanonicalUid(uid) && isCanonicalName(instance) ? uid : undefined
}

/**
 * What STS calls the session, and with it rules, lifecycle events and CloudTrail: `{uid}.{instance}`, which 2 to 64 of
 * `[\w+=,.@-]` must be able to hold. `~` becomes `@`, which no encoding yields; what is too long becomes `=h` and its hash.
 */
export function roleSessionName(uid: string, instance: string): string {
  const name = `${uid}.${instance}`.replaceAll('~', '@')
  // No name of the other form is without a dot.
  return name.length <= awsSessionNameCharsMax ? name : '=h' + createHash('sha256').update(name).digest('base64url')
}

/** What AWS takes for the name of a user: letters and digits only. */
export function principalIdOf(uid: string): string {
  return createHash('sha256').update(uid).digest('hex')
}
