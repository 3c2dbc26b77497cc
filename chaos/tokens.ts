/** App tokens of the issuer that the nodes are told of. */
import { createHmac, randomBytes, randomUUID } from 'node:crypto'

export const issuer = 'https://chaos.example'
export const audience = 'chaos'
export const secret = randomBytes(32).toString('base64url')

const rights: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  alice: { spaces: { team: 'own' } },
  bob: { spaces: { team: 'write' } },
  carol: { spaces: { team: 'read' } },
  operator: { grants: ['ops:revoke', 'ops:erase'] },
}

/** What a user may do: `own` the space, `write` or `read` in it; users whose names begin with `guest` may read it. */
export function tokenOf(user: string): string {
  const now = Math.floor(Date.now() / 1000) - 10
  const claims = { iss: issuer, aud: audience, sub: user, iat: now, exp: now + 7_200, jti: randomUUID() }
  const given = user.startsWith('guest') ? rights['carol'] : rights[user]
  const signed = [
    { alg: 'HS256', typ: 'JWT' },
    { ...claims, ...given },
  ]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}
