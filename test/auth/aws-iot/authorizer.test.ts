/** The custom authorizer as it is packed for Lambda, in a node process that has nothing else. */
import { execFile } from 'node:child_process'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { SignJWT } from 'jose'
import type { AuthorizerAnswer, AuthorizerEvent } from '../../../auth/aws-iot/authorizer.ts'
import { authorizerUrl } from '../../../auth/aws-iot/presign.ts'
import { Authority, exchangeGrantType, jwtTokenType } from '../../../auth/index.ts'
import { buildAuthorizer } from '../../../aws/build.ts'
import { encodeName } from '../../../protocol/names.ts'
import { MemoryDocuments } from '../../../seams/memory-documents.ts'
import { tempFolder } from '../../support/temp.ts'
import { account, region } from '../../support/aws/sts.ts'
import { audience, hmacIssuer, httpUrl, rsa, sign } from '../support.ts'
import { arn, place, verdictOf } from './support.ts'

const run = promisify(execFile)
const next = generateKeyPairSync('rsa', { modulusLength: 2048 })
const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 })
const clientId = 'acme.alice.phone'

const jwk = (kid: string, key: KeyObject): object => ({ ...key.export({ format: 'jwk' }), kid, alg: 'RS256', use: 'sig' })
const jwks = JSON.stringify({ keys: [jwk('one', rsa.publicKey), jwk('two', next.publicKey)] })

const spaces = (count: number): string => Array.from({ length: count }, (_, at) => `subscribe:spaces/board-${at}/#`).join(' ')

const seconds = (): number => Math.floor(Date.now() / 1000)

interface Made {
  readonly claims?: Record<string, unknown>
  readonly header?: Record<string, unknown>
  readonly key?: KeyObject
}

async function token({ claims = {}, header = {}, key = rsa.privateKey }: Made = {}): Promise<string> {
  const now = seconds()
  const scope = 'publish:users/alice/# subscribe:users/alice/#'
  const all = {
    iss: httpUrl,
    aud: audience,
    sub: 'alice',
    iat: now,
    exp: now + 3600,
    oiat: now,
    jti: 'j',
    scope,
    client_id: encodeName(clientId),
    ...claims,
  }
  const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
  return new SignJWT(given).setProtectedHeader({ alg: 'RS256', typ: 'tidemark+jwt', kid: 'one', ...header }).sign(key)
}

/** What AWS IoT Core sends for a URL of ours. */
function eventOf(jwt: string, id: string | null = clientId): AuthorizerEvent {
  const { search } = new URL(authorizerUrl({ endpoint: 'x.example', authorizer: 'a', tokenKey: 'token', token: jwt }))
  const http = { queryString: search }
  return { token: jwt.slice(0, jwt.lastIndexOf('.')), protocolData: id === null ? { http } : { http, mqtt: { clientId: id } } }
}

const byPassword = (jwt: string): AuthorizerEvent => ({
  protocolData: { mqtt: { clientId, username: 'anything', password: Buffer.from(jwt).toString('base64') } },
})

describe('the custom authorizer, packed', function () {
  this.timeout(120_000)
  let bundle: string

  before(async () => {
    bundle = join(await tempFolder(), 'authorizer.mjs')
    await writeFile(bundle, await buildAuthorizer())
  })

  const environment = (changed: Record<string, string> = {}): Record<string, string> => ({
    AWS_REGION: region,
    IOT_ROOT: place.root,
    IOT_ACCOUNT: account,
    BROKER_ISSUER: httpUrl,
    BROKER_AUDIENCE: audience,
    BROKER_JWKS: jwks,
    ...changed,
  })

  /** The answers of one process, and what it logged. */
  const ask = async (events: readonly unknown[], env = environment()): Promise<{ answers: AuthorizerAnswer[]; log: string }> => {
    const program = `
      import { readFileSync } from 'node:fs'
      const { handler } = await import(process.argv[1])
      const answers = []
      for (const event of JSON.parse(readFileSync(0, 'utf8'))) answers.push(await handler(event))
      process.stderr.write(JSON.stringify(answers))`
    const started = run(process.execPath, ['--input-type=module', '-e', program, bundle], { env })
    started.child.stdin?.end(JSON.stringify(events))
    const { stdout, stderr } = await started
    return { answers: JSON.parse(stderr) as AuthorizerAnswer[], log: stdout }
  }
  const admit = async (event: unknown): Promise<AuthorizerAnswer> => {
    const { answers, log } = await ask([event])
    expect(answers[0]?.isAuthenticated, log).to.equal(true)
    return answers[0] as AuthorizerAnswer
  }

  it('[P-10.30, P-10.32] admits the URL of an exchange, as its client, to its topics', async () => {
    const awsIot = { ...place, endpoint: 'x.example', authorizer: 'acme-sync' }
    const config = { issuers: [hmacIssuer], audience, mqttUrl: 'mqtt://x', httpUrl, anonymous: false, openEnabled: false, awsIot }
    const authority = await Authority.open(config, { documents: new MemoryDocuments() })
    const now = seconds()
    const subject_token = await sign({ claims: { iat: now, exp: now + 3000, spaces: { b: 'read' } } })
    const given = await authority.exchange({
      grant_type: exchangeGrantType,
      subject_token,
      subject_token_type: jwtTokenType,
      client_id: 'phone',
    })
    const env = environment({ BROKER_JWKS: JSON.stringify(authority.jwks()) })
    await authority.close()
    const { search, searchParams } = new URL(given.mqtt_url)
    const event = {
      token: searchParams.get('token'),
      signatureVerified: true,
      protocolData: { http: { queryString: search }, mqtt: { clientId: given.mqtt?.client_id } },
    }
    const { answers } = await ask([event], env)
    const answer = answers[0] as AuthorizerAnswer
    expect(answer).to.include({ isAuthenticated: true })
    expect(answer.disconnectAfterInSeconds).to.be.within(2_400, 3_000)
    const may = verdictOf([answer.policyDocuments])
    expect(may('iot:Connect', arn('client', clientId))).to.equal(true)
    expect(may('iot:Connect', arn('client', 'acme.alice.laptop'))).to.equal(false)
    expect(may('iot:Publish', arn('topic', 'acme/put/users/alice/x'))).to.equal(true)
    expect(may('iot:Receive', arn('topic', 'acme/sync/spaces/b/x'))).to.equal(true)
    expect(may('iot:Publish', arn('topic', 'acme/spaces/b/x'))).to.equal(false)
    expect(may('iot:Subscribe', arn('topicfilter', `acme/reply/${given.client_id}/#`))).to.equal(true)
  })

  it('admits no token without its signature, and none that was changed behind it', async () => {
    const good = await token()
    const [head, , signature] = good.split('.')
    const [, claims] = (await token({ claims: { sub: 'bob' } })).split('.')
    const unsigned = { token: good.slice(0, good.lastIndexOf('.')), signatureVerified: true, protocolData: { mqtt: { clientId } } }
    await refuse([unsigned, eventOf(`${head}.${claims}.${signature}`), {}, { token: 'x' }, byPassword('a.b.c')])
  })

  it('takes it by query, user name and password, and a signature whose escapes got lost', async () => {
    const jwt = await token()
    const event = eventOf(jwt)
    const query = event.protocolData?.http?.queryString ?? ''
    const [before, signature = ''] = query.split('signature=')
    const plain = {
      ...event,
      protocolData: { ...event.protocolData, http: { queryString: `${before}signature=${decodeURIComponent(signature)}` } },
    }
    const asJws = { ...event, protocolData: { ...event.protocolData, http: { queryString: `${before}signature=${jwt.split('.')[2]}` } } }
    const byName = { protocolData: { mqtt: { clientId, username: `alice${query}` } } }
    const { answers, log } = await ask([event, plain, asJws, byName, byPassword(jwt)])
    expect(
      answers.map(({ isAuthenticated }) => isAuthenticated),
      log,
    ).to.deep.equal([true, true, true, true, true])
    expect(answers.every((answer) => JSON.stringify(answer.policyDocuments) === JSON.stringify(answers[0]?.policyDocuments))).to.equal(true)
  })

  it('answers in the form that AWS takes, up to ten documents of 2,048 characters', async () => {
    const answer = await admit(eventOf(await token({ claims: { scope: spaces(35), exp: seconds() + 200_000 } })))
    expect(answer).to.have.all.keys(
      'isAuthenticated',
      'principalId',
      'policyDocuments',
      'disconnectAfterInSeconds',
      'refreshAfterInSeconds',
    )
    expect(answer.principalId).to.match(/^[a-zA-Z0-9]{1,128}$/)
    expect([answer.disconnectAfterInSeconds, answer.refreshAfterInSeconds]).to.deep.equal([86_400, 86_400])
    expect(answer.policyDocuments.length).to.be.within(2, 10)
    for (const document of answer.policyDocuments) expect(JSON.stringify(document).length).to.be.at.most(2048)
    await refuse([eventOf(await token({ claims: { scope: spaces(100) } }))], /policy documents, at most 10/)
  })

  it('admits the client that the token is bound to, and a user’s own only', async () => {
    const good = await token()
    const ofServer = await token({ claims: { client_id: encodeName('svc.acme.bridge-1') } })
    const ofBob = await token({ claims: { sub: 'bob' } })
    await refuse([eventOf(good, 'acme.alice.laptop'), eventOf(good, null)], /client id/)
    await refuse(
      [eventOf(ofServer, 'svc.acme.bridge-1'), eventOf(ofBob), eventOf(await token({ claims: { client_id: undefined } }))],
      /client/,
    )
  })

  it('keeps a connection for five minutes at least, as it must, and lets nothing through after the token', async () => {
    const exp = seconds() + 200
    const answer = await admit(eventOf(await token({ claims: { exp } })))
    expect(answer.disconnectAfterInSeconds).to.equal(300)
    const may = verdictOf([answer.policyDocuments])
    const at = (time: number): { 'aws:currenttime': string } => ({ 'aws:currenttime': new Date(time * 1000).toISOString() })
    expect(may('iot:Publish', arn('topic', 'acme/users/alice/x'), at(exp - 1))).to.equal(true)
    expect(may('iot:Publish', arn('topic', 'acme/users/alice/x'), at(exp))).to.equal(false)
  })

  it('knows several keys, so that they can be changed one after the other', async () => {
    await admit(eventOf(await token({ key: next.privateKey, header: { kid: 'two' } })))
    await refuse([
      eventOf(await token({ key: stranger.privateKey })),
      eventOf(await token({ header: { kid: 'three' } })),
      eventOf(await token({ key: next.privateKey })),
    ])
  })

  it('admits no other kind of token, of no other issuer and audience, and none that is over', async () => {
    const now = seconds()
    const others: Made[] = [
      { header: { typ: 'JWT' } },
      { claims: { iss: 'https://elsewhere.example' } },
      { claims: { aud: 'other' } },
      { claims: { exp: now - 1 } },
      { claims: { nbf: now + 600 } },
      { claims: { iat: now + 600 } },
      { claims: { scope: 7 } },
      { claims: { scope: 'nonsense' } },
      { claims: { sub: 'a b' } },
    ]
    await refuse(await Promise.all(others.map(async (other) => eventOf(await token(other)))))
    const none = `${Buffer.from('{"alg":"none","typ":"tidemark+jwt","kid":"one"}').toString('base64url')}.${(await token()).split('.')[1]}.`
    await refuse([eventOf(none), byPassword(`${none}x`)])
  })

  it('does not start without what it must know', async () => {
    for (const name of ['IOT_ROOT', 'IOT_ACCOUNT', 'BROKER_ISSUER', 'BROKER_AUDIENCE', 'BROKER_JWKS']) {
      const outcome = await ask([{}], environment({ [name]: '' })).catch((error: unknown) => error)
      expect(String(outcome), name).to.include(`the variable ${name} is missing`)
    }
  })

  /** Each is denied, with a line that says why and shows nothing of the token. */
  async function refuse(events: readonly AuthorizerEvent[], reason = /./): Promise<void> {
    const { answers, log } = await ask(events)
    const denied = {
      isAuthenticated: false,
      principalId: 'denied',
      policyDocuments: [],
      disconnectAfterInSeconds: 300,
      refreshAfterInSeconds: 300,
    }
    expect(answers).to.deep.equal(events.map(() => denied))
    const lines = log.trim().split('\n')
    expect(lines).to.have.length(events.length)
    for (const line of lines) expect((JSON.parse(line) as { reason: string }).reason).to.match(reason)
    expect(log).to.not.include('eyJ')
  }
})
