/**
 * AWS's rules, as far as those of the template go: their SQL is read here by its words, so that whoever takes up what they write finds it
 * under the names that stand there.
 */
import { randomUUID } from 'node:crypto'
import type { DeviceMessage } from './device-connection.ts'

export interface RuleContext {
  /** `n/a` over HTTPS. */
  readonly clientId: string
  /** Of a connection by role: the role's id and the name of the session. */
  readonly principal: string
  readonly nowMs: number
}

/** What the rule hands to its action as JSON; undefined where it is not for this message. */
export function selected(sql: string, message: DeviceMessage, context: RuleContext): string | undefined {
  const [, fields = '', filter = '', excluded = ''] =
    /^SELECT (.+) FROM '([^']+)\/#' WHERE NOT startswith\(clientid\(\), '([^']+)'\)$/.exec(sql) ?? []
  if (fields === '') throw new Error(`this stand-in does not read: ${sql}`)
  if (!message.topic.startsWith(`${filter}/`) || context.clientId.startsWith(excluded)) return undefined
  const pairs = fields.split(/(?<= AS \w+), /).map((field) => {
    const [expression = '', name = ''] = field.split(' AS ')
    const value = values[expression]
    if (!value) throw new Error(`this stand-in does not know ${expression}`)
    return [name, value(message, context)]
  })
  return JSON.stringify(Object.fromEntries(pairs))
}

const values: Readonly<Record<string, (message: DeviceMessage, context: RuleContext) => string | number>> = {
  "encode(*, 'base64')": ({ payload }) => payload.toString('base64'),
  'topic()': ({ topic }) => topic,
  'clientid()': (_message, { clientId }) => clientId,
  'principal()': (_message, { principal }) => principal,
  'timestamp()': (_message, { nowMs }) => nowMs,
  'traceid()': () => randomUUID(),
}
