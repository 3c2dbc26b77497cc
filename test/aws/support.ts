/** What the tests of accounts share: the template resolved, and a JWKS. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { accountTemplate } from '../../aws/account/template.ts'
import { resolveTemplate, type ParameterValues, type Resolved } from '../../aws/account/resolve.ts'
import type { JsonObject } from '../../aws/account/cloudformation.ts'
import { account, region } from '../support/aws/sts.ts'

export const place = { region, account, partition: 'aws' }

/** The same as flags of every command. */
export const placeFlags = ['--root', 'acme', '--region', region, '--account', account]

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
  return JSON.stringify({
    keys: keys.map(({ kid, publicKey }) => ({ ...publicKey.export({ format: 'jwk' }), kid, alg: 'RS256', use: 'sig' })),
  })
}

/** Sets variables of this process; returns what takes that back. */
export function withEnv(env: Readonly<Record<string, string>>): () => void {
  const before = Object.keys(env).map((name) => [name, process.env[name]] as const)
  Object.assign(process.env, env)
  return () => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
}
