/**
 * The custom authorizer as a Lambda function: `handler`. What it needs to know stands in its environment; the keys are the
 * public ones of the server, `GET /.well-known/jwks.json`, which the operator puts there anew with each rotation.
 */
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { authorize, type AuthorizerAnswer, type AuthorizerEvent, type AuthorizerOptions } from '../auth/aws-iot/authorizer.ts'
import { checkAwsPlace } from '../auth/aws-iot/config.ts'

let options: AuthorizerOptions | undefined

export async function handler(event: AuthorizerEvent): Promise<AuthorizerAnswer> {
  const { answer, refusal } = await authorize(event, (options ??= optionsFrom(process.env)), Date.now())
  if (refusal !== undefined) process.stdout.write(`${JSON.stringify({ audit: 'refused', door: 'authorizer', reason: refusal })}\n`)
  return answer
}

/** Throws for an environment that cannot work: Lambda logs it, and nobody is let in. */
function optionsFrom(env: Readonly<Record<string, string | undefined>>): AuthorizerOptions {
  const need = (name: string): string => {
    const value = env[name]
    if (value === undefined || value === '') throw new Error(`the variable ${name} is missing`)
    return value
  }
  // Lambda itself says which region it runs in.
  const place = { root: need('IOT_ROOT'), region: env['IOT_REGION'] ?? need('AWS_REGION'), account: need('IOT_ACCOUNT') }
  checkAwsPlace(place)
  const tokenKey = env['IOT_TOKEN_KEY']
  return {
    ...place,
    issuer: need('BROKER_ISSUER'),
    audience: need('BROKER_AUDIENCE'),
    keys: keysOf(need('BROKER_JWKS')),
    ...(tokenKey === undefined ? {} : { tokenKey }),
  }
}

function keysOf(text: string): Map<string, KeyObject> {
  const { keys } = JSON.parse(text) as { readonly keys: readonly (JsonWebKey & { readonly kid: string })[] }
  return new Map(keys.map((jwk) => [jwk.kid, createPublicKey({ key: jwk, format: 'jwk' })]))
}
