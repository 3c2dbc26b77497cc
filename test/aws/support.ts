/** What the tests of accounts share: the template resolved, and a JWKS. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { accountTemplate } from '../../aws/account/template.ts'
import { resolveTemplate, type ParameterValues, type Resolved } from '../../aws/account/resolve.ts'
import type { JsonObject } from '../../aws/account/cloudformation.ts'
import { account, region } from '../support/aws/sts.ts'

export const place = { region, account, partition: 'aws' }

/** Everything that the template can make. */
export const everything: ParameterValues = {
  Root: 'acme',
  Ingest: 'sqs',
  TokenSigningKey: 'one',
  SecondTokenSigningKey: 'two',
  AlarmTopic: `arn:aws:sns:${region}:${account}:pager`,
}

export function resolvedWith(values: ParameterValues, where = place): Resolved {
  return resolveTemplate(accountTemplate('code'), values, where)
}

export function propertiesOf({ resources }: Resolved, id: string): JsonObject {
  const found = resources.get(id)
  if (!found) throw new Error(`there is no ${id}`)
  return found.properties
}

export interface Key {
  readonly kid: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

export function newKey(kid: string): Key {
  return { kid, ...generateKeyPairSync('rsa', { modulusLength: 2048 }) }
}

export function jwksOf(...keys: readonly Key[]): string {
  return JSON.stringify({ keys: keys.map(({ kid, publicKey }) => ({ ...publicKey.export({ format: 'jwk' }), kid, alg: 'RS256', use: 'sig' })) })
}
