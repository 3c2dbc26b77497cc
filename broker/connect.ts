/** The steps of a CONNECT, in order; each may refuse it with the return code of [P-7.14] to [P-7.17]. */
import { randomUUID } from 'node:crypto'
import { asSyncError } from '../protocol/errors.ts'
import { encodeName } from '../protocol/names.ts'
import { ConnectRefusal, type ConnectRequest } from './engine.ts'
import type { Link } from './link.ts'
import { connackCode } from './packets.ts'
import { Session } from './session.ts'
import type { SessionRecord } from './session-record.ts'

type ConnectStep = (link: Link, request: ConnectRequest) => Promise<void> | void

const connectSteps: readonly ConnectStep[] = [checkServing, checkClientId, authenticate, checkWill, takeOver, openSession, armWill]

/** Resolves with the name of the session; rejects with a ConnectRefusal. */
export async function runConnectSteps(link: Link, request: ConnectRequest): Promise<string> {
  for (const step of connectSteps) {
    await step(link, request)
    if (link.closed) throw new Error('the connection ended before its CONNECT was answered')
  }
  return link.key
}

function checkServing(link: Link): void {
  const { serverUnavailable } = connackCode
  if (link.hub.stopping) throw refusal(link, serverUnavailable, 'the server is stopping', 'stopping')
  const { failure } = link.hub.log
  if (failure) throw refusal(link, serverUnavailable, failure.message, failure.code)
}

/** An empty id is for clean sessions only [MQTT-3.1.3-8]; the server then chooses one. */
function checkClientId(link: Link, request: ConnectRequest): void {
  const { clientIdBytesMax } = link.hub.limits
  const bytes = Buffer.byteLength(request.clientId)
  if (bytes === 0 && !request.clean) throw refusal(link, connackCode.identifierRejected, 'an empty client id needs clean=1')
  if (bytes > clientIdBytesMax)
    throw refusal(link, connackCode.identifierRejected, `a client id of ${bytes} bytes, at most ${clientIdBytesMax}`)
  if (/[\0\ufffd]/.test(request.clientId)) throw refusal(link, connackCode.identifierRejected, 'a client id that is no UTF-8')
  link.client = encodeName(request.clientId || `auto-${randomUUID()}`)
}

/** The password is the token; the user name may be anything [P-7.13]. */
async function authenticate(link: Link, { password }: ConnectRequest): Promise<void> {
  const { authority } = link.hub
  try {
    const principal = await authority.authenticate(
      password === undefined || password.length === 0 ? undefined : password.toString(),
      link.client,
    )
    if (authority.isRevoked(principal)) throw new ConnectRefusal(connackCode.badCredentials, 'the token was revoked')
    link.principal = principal
  } catch (error) {
    if (error instanceof ConnectRefusal) throw refusal(link, error.returnCode, error.message)
    const { code, message } = asSyncError(error)
    const returnCode =
      code === 'forbidden'
        ? connackCode.notAuthorised
        : code === 'unauthorized' || code === 'token-expired'
          ? connackCode.badCredentials
          : connackCode.serverUnavailable
    throw refusal(link, returnCode, message, code)
  }
}

function checkWill(link: Link, { will }: ConnectRequest): void {
  if (!will || !link.principal) return
  try {
    link.preparedWill = link.hub.wills.judge(will, link.principal, link.client)
  } catch (error) {
    const { code, message } = asSyncError(error)
    throw refusal(link, connackCode.notAuthorised, message, code)
  }
}

/** Whoever holds this session is closed, and has saved it, before it is loaded [P-4.26]. */
async function takeOver(link: Link): Promise<void> {
  try {
    await link.enterSession()
  } catch (error) {
    const { code, message } = asSyncError(error)
    throw refusal(link, connackCode.serverUnavailable, message, code)
  }
}

async function openSession(link: Link): Promise<void> {
  const { hub, key } = link
  const { sessions } = hub
  try {
    if (link.clean) {
      await sessions.remove(key)
      link.session = newSession(link)
    } else {
      await resume(link)
    }
  } catch (error) {
    const { code, message } = asSyncError(error)
    throw refusal(link, connackCode.serverUnavailable, message, code)
  }
}

async function resume(link: Link): Promise<void> {
  const { hub, key } = link
  const { sessions } = hub
  const { record, generation } = await sessions.claim(key, link.uid)
  link.generation = generation
  let session = newSession(link)
  link.sessionPresent = record !== undefined
  try {
    if (record && !(await restored(link, session, record))) {
      hub.logger.warn({ session: key }, 'the session was discarded: entries that it has not seen were trimmed')
      hub.telemetry.sessionDiscarded()
      // The record is overwritten below; removing it would forget the generation that fences older owners.
      await sessions.removeIntents(key)
      session.close()
      session = newSession(link)
      link.sessionPresent = false
    }
  } catch (error) {
    session.close()
    throw error
  }
  // Only now: a session restored in part would be stored like that when the connection ends.
  link.session = session
  if (link.sessionPresent) await link.publisher.restoreIntents()
  // From here on a crash is told from a good end.
  await sessions.save(link)
}

function restored(link: Link, session: Session, record: SessionRecord): Promise<boolean> {
  return session.restore(record, (stream) => link.hub.sessions.sentBefore(stream))
}

function newSession(link: Link): Session {
  const { hub, principal, clean, client } = link
  if (!principal) throw new Error('a session needs an authenticated user')
  return new Session({ hub, clean, client, holder: principal, link })
}

async function armWill(link: Link): Promise<void> {
  const will = link.preparedWill
  if (!will) return
  try {
    await link.hub.wills.arm(link.key, will)
  } catch (error) {
    throw refusal(link, connackCode.serverUnavailable, asSyncError(error).message)
  }
  link.will = will
}

function refusal(link: Link, returnCode: number, message: string, code: string = 'bad-request'): ConnectRefusal {
  const { hub, door, principal, client } = link
  hub.telemetry.refused(door, code)
  hub.logger.warn({ door, uid: principal?.uid, client: client || undefined, code, returnCode }, `CONNECT refused: ${message}`)
  return new ConnectRefusal(returnCode, message)
}
