/** What a rule of AWS IoT Core has put into the queue: its SQL stands in `aws/account/ingest.ts`. */
import { bridgeSessionName, isServiceClientId } from '../../auth/aws-iot/bridge.ts'
import type { AwsIotConfig } from '../../auth/aws-iot/config.ts'
import { uidOfClientId } from '../../auth/aws-iot/names.ts'
import { SyncError } from '../../protocol/errors.ts'
import type { Published } from './intake.ts'

/** What AWS calls the client of a publish over HTTPS. */
const nobody = 'n/a'
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/**
 * The message of a client, as a rule writes it or, where it could not, its error action; undefined for one of the server's own, which the
 * rule should have left out. Throws `bad-request` for what no rule of ours writes.
 */
export function publishedBy(body: string, config: Pick<AwsIotConfig, 'root' | 'bridgeName'>): Published | undefined {
  const { topic, principal, base64OriginalPayload, clientId: errorClient, ...fields } = fieldsOf(body)
  const { payload = base64OriginalPayload, client = errorClient } = fields
  const { root } = config
  if (typeof topic !== 'string' || !topic.startsWith(`${root}/`)) throw bad(`has no topic below ${root}/`)
  if (typeof payload !== 'string' || !base64.test(payload)) throw bad('has no payload in base64')
  const clientId = typeof client === 'string' && client !== nobody ? client : undefined
  const isOurs = clientId === undefined ? String(principal).endsWith(`:${bridgeSessionName(config)}`) : isServiceClientId(clientId)
  if (isOurs) return undefined
  // A policy lets each client come in under its own name only.
  const uid = clientId === undefined ? undefined : uidOfClientId(root, clientId)
  return { topic: topic.slice(root.length + 1), payload: Buffer.from(payload, 'base64'), uid }
}

function fieldsOf(body: string): Readonly<Record<string, unknown>> {
  try {
    const json: unknown = JSON.parse(body)
    if (typeof json === 'object' && json !== null) return json as Record<string, unknown>
  } catch (error) {
    throw bad('is no JSON', error)
  }
  throw bad('is no JSON object')
}

function bad(reason: string, cause?: unknown): SyncError {
  return new SyncError('bad-request', `the message ${reason}: no rule of tidemark has written it`, {}, cause)
}
