/** How long the packed authorizer takes to load and to answer for the first time, each in a new process: `npm run bench:authorizer`. */
import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { SignJWT } from 'jose'
import { buildAuthorizer } from './build.ts'

const runs = 20
const clientId = 'acme.alice.phone'

const folder = mkdtempSync(join(tmpdir(), 'tidemark-authorizer-'))
try {
  const bundle = join(folder, 'authorizer.mjs')
  const bytes = await buildAuthorizer()
  writeFileSync(bundle, bytes)
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const scope = 'publish:users/alice/# subscribe:users/alice/#'
  const token = await new SignJWT({ scope, oiat: 1, client_id: 'acme=2Ealice=2Ephone' })
    .setProtectedHeader({ alg: 'RS256', typ: 'tidemark+jwt', kid: 'k' })
    .setIssuer('https://sync.example')
    .setAudience('tidemark')
    .setSubject('alice')
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(privateKey)
  const event = JSON.stringify({ protocolData: { mqtt: { clientId, password: Buffer.from(token).toString('base64') } } })
  const env = {
    AWS_REGION: 'eu-west-1',
    IOT_ROOT: 'acme',
    IOT_ACCOUNT: '123456789012',
    BROKER_ISSUER: 'https://sync.example',
    BROKER_AUDIENCE: 'tidemark',
    BROKER_JWKS: JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k' }] }),
  }
  const program = `
    const before = performance.now()
    const { handler } = await import(process.argv[1])
    const loaded = performance.now()
    const { isAuthenticated } = await handler(${event})
    const first = performance.now()
    await handler(${event})
    process.stdout.write(JSON.stringify({ isAuthenticated, load: loaded - before, first: first - loaded, next: performance.now() - first }))`
  const figures = Array.from({ length: runs }, () => {
    const text = execFileSync(process.execPath, ['--input-type=module', '-e', program, bundle], { env, encoding: 'utf8' })
    const { isAuthenticated, ...times } = JSON.parse(text) as { isAuthenticated: boolean; load: number; first: number; next: number }
    if (!isAuthenticated) throw new Error('the authorizer did not admit its own token')
    return times
  })
  process.stdout.write(`bundle: ${(bytes.length / 1024).toFixed(0)} KiB, ${(gzipSync(bytes).length / 1024).toFixed(0)} KiB as gzip\n`)
  for (const [name, what] of [
    ['load', 'loading the bundle'],
    ['first', 'the first answer'],
    ['next', 'the second answer'],
  ] as const) {
    const sorted = figures.map((times) => times[name]).sort((a, b) => a - b)
    process.stdout.write(`${what}: median ${sorted[runs / 2]?.toFixed(1)} ms, slowest ${sorted.at(-1)?.toFixed(1)} ms\n`)
  }
} finally {
  rmSync(folder, { recursive: true })
}
