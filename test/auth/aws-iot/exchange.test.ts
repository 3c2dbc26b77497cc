/** `POST /v1/token` where AWS IoT Core carries the connections. */
import { expect } from 'chai'
import { decodeJwt } from 'jose'
import {
  Authority,
  exchangeGrantType,
  jwtTokenType,
  oauthError,
  type AuthConfig,
  type AuthorityParts,
  type ExchangeRequest,
} from '../../../auth/index.ts'
import type { AwsIotConfig } from '../../../auth/aws-iot/config.ts'
import { encodeName } from '../../../protocol/names.ts'
import { defaultLimits } from '../../../seams/limits.ts'
import { GatewayStandIn } from '../../support/aws/gateway.ts'
import { account, mayDo, region, StsStandIn } from '../../support/aws/sts.ts'
import {
  audience,
  closeAll,
  documentsWithKey,
  hmacIssuer,
  httpUrl,
  later,
  ManualClock,
  RecordingLogger,
  refusal,
  sign,
  startMs,
} from '../support.ts'
import { arn, fence, place, roleArn } from './support.ts'

const awsCredentials = { accessKeyId: 'AKIASERVER', secretAccessKey: 'the secret of the server' }
const now = Math.floor(startMs / 1000)

const form = (token: string, more: Partial<ExchangeRequest> = {}): ExchangeRequest => ({
  grant_type: exchangeGrantType,
  subject_token: token,
  subject_token_type: jwtTokenType,
  ...more,
})

describe('[P-10.30] token exchange for AWS IoT Core', function () {
  this.timeout(120_000)
  let sts: StsStandIn
  let gateway: GatewayStandIn
  const clock = new ManualClock()

  before(async () => {
    sts = await StsStandIn.start({
      roles: { [roleArn]: { trust: ['server'], policies: [fence] } },
      callers: { [awsCredentials.accessKeyId]: { secret: awsCredentials.secretAccessKey, arn: 'server' } },
    })
    gateway = await GatewayStandIn.start(sts)
  })
  beforeEach(() => {
    clock.ms = startMs
    sts.asked.length = 0
    sts.failures.length = 0
  })
  afterEach(closeAll)
  after(async () => {
    await gateway?.close()
    await sts?.close()
  })

  const open = async (
    changed: Partial<AwsIotConfig> = {},
    isMember?: AuthorityParts['isMember'],
  ): Promise<{ authority: Authority; logger: RecordingLogger }> => {
    const logger = new RecordingLogger()
    const awsIot: AwsIotConfig = {
      ...place,
      endpoint: gateway.host,
      ...('authorizer' in changed ? {} : { roleArn, stsUrl: sts.url }),
      ...changed,
    }
    const config: AuthConfig = {
      issuers: [hmacIssuer],
      audience,
      mqttUrl: 'mqtt://127.0.0.1:1883',
      httpUrl,
      anonymous: false,
      openEnabled: false,
      awsIot,
    }
    const limits = { ...defaultLimits, revocationPollMs: 3_600_000 }
    const documents = await documentsWithKey()
    const authority = await Authority.open(config, { documents, clock, logger, limits, awsCredentials, ...(isMember && { isMember }) })
    later(() => authority.close())
    return { authority, logger }
  }

  it('[P-10.19] answers as for this server, with the URL to connect to and who to connect as', async () => {
    const { authority } = await open()
    const answer = await authority.exchange(form(await sign(), { client_id: 'phone' }))
    const { access_token, mqtt_url, scope, limits, ...rest } = answer
    expect(rest).to.deep.equal({
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'Bearer',
      expires_in: 3600,
      client_id: 'acme=2Ealice=2Ephone',
      http_url: httpUrl,
      mqtt: { engine: 'aws-iot', auth: 'sigv4', client_id: 'acme.alice.phone', root: 'acme', url_expires_in: 900 },
    })
    expect(scope).to.include('subscribe:users/alice/#').and.include('subscribe:reply/acme=2Ealice=2Ephone/#')
    expect(limits.streamTopicLevelsMax).to.equal(6)
    expect(limits.topicLevelsMax).to.equal(8)
    expect(mqtt_url).to.match(new RegExp(`^wss://${gateway.host}/mqtt\\?X-Amz-Algorithm=`))
    // Over HTTP the token is what it is everywhere.
    const principal = await authority.authenticate(access_token, undefined)
    expect([principal.uid, principal.client]).to.deep.equal(['alice', 'acme=2Ealice=2Ephone'])
  })

  it('[P-10.30] gives a URL that opens a session of this client and its grants, until its token ends', async () => {
    const { authority } = await open()
    // What STS gives is good by the clock of this machine.
    clock.ms = Date.now()
    const iat = clock.seconds
    const { mqtt_url } = await authority.exchange(
      form(await sign({ claims: { iat, exp: iat + 1200 } }), { client_id: 'phone', scope: 'publish:users/alice/a/#' }),
    )
    const url = new URL(mqtt_url)
    const session = gateway.verify({ url: url.pathname + url.search, headers: { host: gateway.host, 'sec-websocket-protocol': 'mqtt' } })
    expect(session.name).to.equal('alice.phone')
    const at = (seconds: number): { 'aws:currenttime': string } => ({ 'aws:currenttime': new Date((iat + seconds) * 1000).toISOString() })
    const connect = arn('client', 'acme.alice.phone')
    expect(mayDo(session, 'iot:Connect', connect, at(1199))).to.equal(true)
    expect(mayDo(session, 'iot:Connect', connect, at(1200))).to.equal(false)
    expect(mayDo(session, 'iot:Publish', arn('topic', 'acme/users/alice/a/1'), at(0))).to.equal(true)
    expect(mayDo(session, 'iot:Publish', arn('topic', 'acme/users/alice/b'), at(0))).to.equal(false)
    expect(mayDo(session, 'iot:Subscribe', arn('topicfilter', 'acme/reply/acme=2Ealice=2Ephone/#'), at(0))).to.equal(true)
  })

  it('gives a URL for no longer than the token, and no deadline where the deployment has none', async () => {
    const { authority } = await open({ deadline: false })
    const short = await authority.exchange(form(await sign({ claims: { exp: now + 60 } }), { client_id: 'phone' }))
    expect(short.mqtt?.url_expires_in).to.equal(60)
    expect(short.mqtt_url).to.include('&X-Amz-Expires=60&')
    expect([...sts.sessions.values()].at(-1)?.policyText).to.not.include('CurrentTime')
  })

  it('gives the credentials themselves only where the deployment does', async () => {
    const hidden = await (await open()).authority.exchange(form(await sign()))
    expect(hidden.mqtt).to.not.have.property('credentials')
    expect(JSON.stringify(hidden.mqtt)).to.not.include('secret')
    const { mqtt } = await (await open({ giveCredentials: true })).authority.exchange(form(await sign()))
    const session = sts.sessions.get(mqtt?.credentials?.access_key_id ?? '')
    if (!session) expect.fail('no session has these credentials')
    expect(mqtt?.credentials).to.deep.include({ secret_access_key: session.secret, session_token: session.token, region })
    expect(Date.parse(mqtt?.credentials?.expiration ?? '')).to.equal(session.expiresAtMs)
  })

  it('[P-10.31] names clients by root, user and instance, a new one where none is asked for', async () => {
    const { authority } = await open()
    const idOf = async (token: string, client_id?: string): Promise<string> =>
      (await authority.exchange(form(token, client_id === undefined ? {} : { client_id }))).mqtt?.client_id ?? ''
    expect(await idOf(await sign(), 'my phone')).to.equal('acme.alice.my=20phone')
    expect(await idOf(await sign(), 'acme.alice.my=20phone'), 'as it was given out').to.equal('acme.alice.my=20phone')
    expect(await idOf(await sign(), 'acme.bob.phone'), 'as somebody else').to.equal('acme.alice.acme=2Ebob=2Ephone')
    const [one, other] = [await idOf(await sign()), await idOf(await sign())]
    expect(one).to.match(/^acme\.alice\.[\w-]{11}$/)
    expect(other).to.not.equal(one)
    await refusal(
      authority.exchange(form(await sign({ claims: { sub: 'x'.repeat(64) } }), { client_id: 'y'.repeat(64) })),
      'bad-request',
      /134 bytes long, at most 128/,
    )
  })

  it('[P-10.22, P-10.31] keeps a bound token with its client', async () => {
    const { authority } = await open()
    const { access_token } = await authority.exchange(form(await sign(), { client_id: 'phone' }))
    expect((await authority.exchange(form(access_token))).mqtt?.client_id).to.equal('acme.alice.phone')
    expect((await authority.exchange(form(access_token, { client_id: 'phone' }))).mqtt?.client_id).to.equal('acme.alice.phone')
    await refusal(authority.exchange(form(access_token, { client_id: 'laptop' })), 'forbidden', /another client/)
    const long = await authority.exchange(form(await sign(), { client_id: 'x'.repeat(60) }))
    expect(long.client_id)
      .to.equal(encodeName(`acme.alice.${'x'.repeat(60)}`))
      .and.match(/^=h/)
    await refusal(authority.exchange(form(long.access_token)), 'bad-request', /send client_id again/)
    expect((await authority.exchange(form(long.access_token, { client_id: 'x'.repeat(60) }))).client_id).to.equal(long.client_id)
  })

  it('[P-10.33] refuses scopes that no policy can hold as invalid_scope, before STS is asked', async () => {
    const { authority } = await open()
    const spaces = Object.fromEntries(Array.from({ length: 9 }, (_, at) => [`b${at}`, 'write']))
    const token = await sign({ claims: { spaces } })
    const error = await refusal(authority.exchange(form(token, { client_id: 'phone' })), 'bad-request', /of 9 spaces fit/)
    expect(oauthError(error)).to.deep.include({ status: 400 })
    expect(oauthError(error).body.error).to.equal('invalid_scope')
    expect(sts.asked).to.deep.equal([])
    expect((await authority.exchange(form(token, { scope: 'publish:spaces/b8/#' }))).scope).to.equal('publish:spaces/b8/#')
    const { authority: byAuthorizer } = await open({ authorizer: 'acme-sync' })
    expect((await byAuthorizer.exchange(form(token, { client_id: 'phone' }))).mqtt?.auth).to.equal('authorizer')
  })

  it('[P-20.19] gives no space from which the user was withdrawn while STS was asked', async () => {
    clock.ms = Date.now()
    const { authority, logger } = await open({}, (space) => Promise.resolve(space !== 'spaces/b' || sts.asked.length === 0))
    const iat = clock.seconds
    const token = await sign({ claims: { iat, exp: iat + 1200, spaces: { a: 'write', b: 'write' } } })
    const told: string[] = []
    authority.onExchange(({ grants }) => void told.push(grants.texts.join(' ')))
    const { scope, mqtt_url } = await authority.exchange(
      form(token, { client_id: 'phone', scope: 'publish:spaces/a/# publish:spaces/b/#' }),
    )
    expect([scope, told]).to.deep.equal(['publish:spaces/a/#', ['publish:spaces/a/#']])
    const url = new URL(mqtt_url)
    const session = gateway.verify({ url: url.pathname + url.search, headers: { host: gateway.host, 'sec-websocket-protocol': 'mqtt' } })
    const at = { 'aws:currenttime': new Date(clock.ms).toISOString() }
    const may = ['a', 'b'].map((space) => mayDo(session, 'iot:Publish', arn('topic', `acme/spaces/${space}/x`), at))
    expect(may).to.deep.equal([true, false])
    expect(logger.audits('exchange')).to.have.length(1)
  })

  it('[P-10.29] leaves one audit line, without a token, a secret or a signature', async () => {
    const { authority, logger } = await open({ giveCredentials: true })
    const answer = await authority.exchange(form(await sign(), { client_id: 'phone' }))
    const { access_key_id, secret_access_key, session_token } = answer.mqtt?.credentials ?? expect.fail('no credentials')
    const [line] = logger.audits('exchange')
    expect(logger.audits('exchange')).to.have.length(1)
    expect(line).to.include({ uid: 'alice', client: 'acme=2Ealice=2Ephone', jti: 'jti-1', exp: now + 3600 })
    expect(line).to.include({ engine: 'aws-iot', auth: 'sigv4', session: 'alice.phone', accessKey: access_key_id })
    const said = JSON.stringify(logger.lines)
    for (const hidden of [secret_access_key, session_token, answer.access_token, 'X-Amz-Signature']) expect(said).to.not.include(hidden)
  })

  it('for an authorizer gives a URL with the token, and asks no STS', async () => {
    const { authority, logger } = await open({ authorizer: 'acme-sync', authorizerTokenKey: 'jwt' })
    const { mqtt, mqtt_url, access_token } = await authority.exchange(form(await sign(), { client_id: 'phone' }))
    expect(mqtt).to.deep.equal({ engine: 'aws-iot', auth: 'authorizer', client_id: 'acme.alice.phone', root: 'acme', url_expires_in: 3600 })
    const query = new URL(mqtt_url).searchParams
    const [head, claims, signature = ''] = access_token.split('.')
    expect(query.get('x-amz-customauthorizer-name')).to.equal('acme-sync')
    expect(query.get('jwt')).to.equal(`${head}.${claims}`)
    expect(Buffer.from(query.get('x-amz-customauthorizer-signature') ?? '', 'base64')).to.deep.equal(Buffer.from(signature, 'base64url'))
    expect(decodeJwt(access_token)['client_id']).to.equal('acme=2Ealice=2Ephone')
    expect(sts.asked).to.deep.equal([])
    expect(logger.audits('exchange')[0]).to.include({ engine: 'aws-iot', auth: 'authorizer' })
  })

  const broken: [string, Partial<AwsIotConfig>, RegExp][] = [
    ['a root with a level', { root: 'a/b' }, /root must be/],
    ['the root svc', { root: 'svc' }, /root must not be svc/],
    ['a region that is none', { region: 'europe' }, /region is no name/],
    ['an account that is none', { account: '1234' }, /twelve digits/],
    ['an endpoint with a path', { endpoint: 'x/mqtt' }, /endpoint is no host/],
    ['an endpoint of another region', { endpoint: 'a1-ats.iot.us-east-1.amazonaws.com' }, /is in us-east-1, not in eu-west-1/],
    ['both a role and an authorizer', { roleArn, authorizer: 'x' }, /exactly one/],
    ['a role that is no ARN', { roleArn: `arn:aws:iam::${account}:user/x` }, /no ARN of a role/],
    ['an authorizer that is no name', { authorizer: 'a b' }, /no name of an authorizer/],
    ['a token key without an authorizer', { authorizerTokenKey: 'x' }, /goes with authorizer/],
    ['credentials with an authorizer', { authorizer: 'x', giveCredentials: true }, /go with roleArn/],
    ['an STS that is no URL', { stsUrl: 'ftp://x' }, /no http or https URL/],
  ]
  for (const [what, changed, reason] of broken) {
    it(`refuses to start with ${what}`, async () => {
      await refusal(open(changed), 'bad-request', reason)
    })
  }
})
