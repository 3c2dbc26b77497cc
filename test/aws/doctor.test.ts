/** `tidemark aws doctor`: an account in order, and each thing that can be wrong with it. */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { SignJWT } from 'jose'
import { WebSocketServer } from 'ws'
import { inProcess, tidemark, type Run } from '../cli/run.ts'
import { ControlPlane } from '../support/aws/control-plane.ts'
import { account } from '../support/aws/sts.ts'
import { need } from '../support/skipping.ts'
import { tempFolder } from '../support/temp.ts'
import { jwksOf, newKey, placeFlags as place, withEnv } from './support.ts'

describe('tidemark aws doctor', function () {
  this.timeout(120_000)
  const keys = { first: newKey('one'), second: newKey('two') }
  const pem = (key: typeof keys.first): string => key.publicKey.export({ type: 'spki', format: 'pem' }).toString()
  let plane: ControlPlane
  let restore: () => void
  let jwks = ''

  beforeEach(async () => {
    plane = await ControlPlane.start()
    // Nobody listens there, where a test does not say otherwise.
    plane.endpoint = '127.0.0.1:1'
    restore = withEnv(plane.env)
    jwks = join(await tempFolder(), 'jwks.json')
    await writeFile(jwks, jwksOf(keys.first))
  })
  afterEach(async () => {
    restore()
    await plane.close()
  })

  const apply = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await inProcess(['aws', 'apply', ...place, ...args, '--yes'])
    expect(code, stderr).to.equal(0)
  }
  const applyWithAuthorizer = async (): Promise<void> => {
    await apply('--jwks', jwks, '--issuer', 'https://sync.example')
    plane.authorizers.set('acme-authorizer', {
      status: 'ACTIVE',
      signingDisabled: false,
      tokenSigningPublicKeys: { first: pem(keys.first) },
    })
  }
  const doctor = (...args: string[]): Promise<Run> => inProcess(['aws', 'doctor', ...place, ...args])
  /** Runs it, and expects the check to fail with this, and with advice. */
  const fails = async (check: string, what: RegExp, advice: RegExp, ...args: string[]): Promise<void> => {
    const { code, stdout, stderr } = await doctor(...args)
    expect(code, stdout).to.equal(1)
    expect(stderr).to.match(/^tidemark: \d+ of \d+ checks failed$/m)
    const [, said, does] = new RegExp(`^  FAIL  ${check} +(.*)\\n +→ (.{10,})$`, 'm').exec(stdout) ?? []
    expect(said, stdout).to.match(what)
    expect(does, stdout).to.match(advice)
  }

  it('says that everything works, and opens one connection', async function () {
    need(this, 'openssl', 'apt-get install openssl')
    const gateway = await Gateway.start()
    try {
      await applyWithAuthorizer()
      plane.endpoint = gateway.host
      const token = await tokenOf(keys.first.privateKey)
      const args = ['--jwks', jwks, '--token', token, '--endpoint', gateway.host]
      const env = { ...plane.env, NODE_EXTRA_CA_CERTS: gateway.certificate, NODE_NO_WARNINGS: '1' }
      const { code, stdout, stderr } = await tidemark(['aws', 'doctor', ...place, ...args], { env })
      expect({ code, stderr }, stdout).to.deep.equal({ code: 0, stderr: '' })
      for (const check of ['credentials', 'clock', 'stack', 'endpoint', 'role', 'bridge', 'connection', 'authorizer', 'keys', 'test'])
        expect(stdout).to.match(new RegExp(`^  ok    ${check} `, 'm'))
      expect(stdout).to.match(/\n\nEverything works\.\n$/)
      expect(gateway.asked).to.have.length(1)
      expect(gateway.asked[0]).to.match(/^\/mqtt\?X-Amz-Algorithm=.*&X-Amz-Security-Token=t$/)
      // As a client shows it, and whole as the password.
      const [header, payload, signature] = token.split('.') as [string, string, string]
      expect(plane.shown).to.deep.include({
        token: `${header}.${payload}`,
        tokenSignature: Buffer.from(signature, 'base64url').toString('base64'),
      })
      const { mqttContext } = plane.shown as { readonly mqttContext: { readonly clientId: string; readonly password: string } }
      expect([mqttContext.clientId, Buffer.from(mqttContext.password, 'base64').toString()]).to.deep.equal(['acme.alice.phone', token])

      gateway.status = 403
      const refused = await tidemark(['aws', 'doctor', ...place], { env })
      expect(refused.code).to.equal(1)
      expect(refused.stdout).to.match(
        /^ {2}FAIL {2}connection {2}\S+ answers 403 to a signed URL\n +→ STS gave these credentials a moment ago/m,
      )
      expect(gateway.asked, 'one more and no loop').to.have.length(2)
    } finally {
      await gateway.close()
    }
  })

  it('says what is wrong with credentials, and then asks nothing else', async () => {
    plane.refusals.push({ action: 'GetCallerIdentity', status: 403, code: 'InvalidClientTokenId', message: 'unknown' })
    await fails('credentials', /STS does not know these credentials: InvalidClientTokenId/, /renew them/)
    plane.account = '999999999999'
    await fails('credentials', /those of account 999999999999/, /use other credentials, or correct --account/)
    expect(plane.asked).to.deep.equal(['GetCallerIdentity', 'GetCallerIdentity'])
  })

  it('says that the clock is off by twenty minutes', async () => {
    plane.aheadMs = 1_200_000
    await fails('clock', /differs by 1(?:199|200) s from that of AWS/, /set it/)
  })

  it('says that there is no stack, that it is another, half done, or at work', async () => {
    await fails('stack', /there is no stack tidemark-acme/, /run `tidemark aws apply`/)
    await apply()
    const stack = plane.stack('tidemark-acme')
    if (!stack) throw new Error('there is no stack')
    stack.status = 'UPDATE_ROLLBACK_FAILED'
    await fails('stack', /UPDATE_ROLLBACK_FAILED/, /apply` again/)
    stack.status = 'UPDATE_IN_PROGRESS'
    await fails('stack', /is being changed/, /wait/)
    stack.tags = {}
    await fails('stack', /is none of ours/, /another root/)
  })

  it('says that the server is configured with the endpoint of another account', async () => {
    await apply()
    await fails(
      'endpoint',
      /the endpoint of this account is 127\.0\.0\.1:1, not other\.example/,
      /correct awsIot\.endpoint/,
      '--endpoint',
      'other.example',
    )
    plane.endpoint = undefined
    await fails('endpoint', /AWS names no endpoint/, /offered in this region/)
  })

  it('says that the endpoint cannot be reached', async () => {
    await apply()
    await fails('connection', /nothing listens at 127\.0\.0\.1:1/, /correct host and port/)
  })

  it('[P-10.34] says that the role does not trust the credentials, and does not try where only the server may', async () => {
    await apply()
    plane.refusals.push({ action: 'AssumeRole', status: 403, code: 'AccessDenied', message: 'no' })
    await fails('role', /the role does not trust the server's credentials.*\[engine-refused\]/, /chapter 12/)
    const server = `arn:aws:iam::${account}:role/service/sync`
    await apply('--server-principal', server)
    plane.asked.length = 0
    expect((await doctor()).stdout).to.match(new RegExp(`^  –     role +not tried: only ${server} may assume it`, 'm'))
    expect(plane.asked).to.not.include('AssumeRole')
    plane.arn = `arn:aws:sts::${account}:assumed-role/sync/i-1`
    expect((await doctor()).stdout).to.match(/^ {2}ok {4}role /m)
  })

  it('says what is wrong with the authorizer', async () => {
    await apply()
    expect((await doctor()).stdout).to.match(/^ {2}– {5}authorizer +the stack has none/m)
    await applyWithAuthorizer()
    const authorizer = plane.authorizers.get('acme-authorizer')
    if (!authorizer) throw new Error('there is no authorizer')
    authorizer.status = 'INACTIVE'
    await fails('authorizer', /is INACTIVE: nobody gets in by it/, /tidemark aws enable/)
    Object.assign(authorizer, { status: 'ACTIVE', signingDisabled: true })
    await fails('authorizer', /does not check signatures/, /destroy and apply/)
    plane.authorizers.delete('acme-authorizer')
    await fails('authorizer', /there is no authorizer acme-authorizer/, /somebody deleted it/)
  })

  it('says which key is missing, and which is too many', async () => {
    await applyWithAuthorizer()
    await writeFile(jwks, jwksOf(keys.first, keys.second))
    await fails('keys', /does not know the key two of the server/, /tidemark aws keys/, '--jwks', jwks)
    await writeFile(jwks, jwksOf(keys.second))
    await fails('keys', /does not know the key two/, /tidemark aws keys/, '--jwks', jwks)
    Object.assign(plane.authorizers.get('acme-authorizer') ?? {}, { tokenSigningPublicKeys: { first: pem(keys.second) } })
    await fails('keys', /the authorizer has other keys than its function/, /tidemark aws keys/)
    Object.assign(plane.authorizers.get('acme-authorizer') ?? {}, { tokenSigningPublicKeys: { a: pem(keys.first), b: pem(keys.second) } })
    const stack = plane.stack('tidemark-acme')
    if (!stack) throw new Error('there is no stack')
    stack.parameters = { ...stack.parameters, SecondTokenSigningKey: pem(keys.second), BrokerJwks: jwksOf(keys.first, keys.second) }
    await fails('keys', /still has the key one/, /tidemark aws keys/, '--jwks', jwks)
  })

  it('says that the authorizer refuses a token, and that a token is none', async () => {
    await applyWithAuthorizer()
    plane.verdict = { isAuthenticated: false }
    await fails(
      'test',
      /acme-authorizer refuses the token/,
      /its log says why: \/aws\/lambda\/acme-authorizer/,
      '--token',
      await tokenOf(keys.first.privateKey),
    )
    await fails('test', /is no JWT/, /access_token/, '--token', 'nonsense')
    expect((await doctor()).stdout).to.match(/^ {2}– {5}test +the authorizer was shown no token/m)
  })
})

async function tokenOf(key: ReturnType<typeof newKey>['privateKey']): Promise<string> {
  return await new SignJWT({ client_id: 'acme=2Ealice=2Ephone' })
    .setProtectedHeader({ alg: 'RS256', kid: 'one' })
    .setSubject('alice')
    .sign(key)
}

/** The door of the device gateway, over TLS: it lets everybody in, or answers with a status. */
class Gateway {
  readonly asked: (string | undefined)[] = []
  status = 101
  readonly certificate: string
  readonly #server: Server
  readonly #sockets = new WebSocketServer({ noServer: true })

  static async start(): Promise<Gateway> {
    const folder = await tempFolder()
    const [certificate, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
    const newKeyWords = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key]
    await promisify(execFile)('openssl', ['req', '-x509', '-days', '2', ...newKeyWords, '-out', certificate, ...subject])
    const gateway = new Gateway(certificate, key)
    gateway.#server.listen(0, '127.0.0.1')
    await once(gateway.#server, 'listening')
    return gateway
  }

  private constructor(certificate: string, key: string) {
    this.certificate = certificate
    this.#server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) })
    this.#server.on('upgrade', (request, socket, head: Buffer) => {
      this.asked.push(request.url)
      if (this.status === 101) this.#sockets.handleUpgrade(request, socket, head, () => {})
      else socket.end(`HTTP/1.1 ${this.status} Refused\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`)
    })
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets.clients) socket.terminate()
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }
}
