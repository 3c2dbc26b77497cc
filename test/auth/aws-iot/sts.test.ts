/** `AssumeRole` by the client of the AWS SDK, and every way in which it fails. */
import { expect } from 'chai'
import { roleSessionName } from '../../../auth/aws-iot/names.ts'
import { sessionPolicy, type SessionPolicy } from '../../../auth/aws-iot/policy.ts'
import { Sts, type ServerCredentials } from '../../../auth/aws-iot/sts.ts'
import { encodeUid } from '../../../protocol/names.ts'
import type { ErrorCode } from '../../../protocol/errors.ts'
import { mayDo, region, StsStandIn } from '../../support/aws/sts.ts'
import { refusal } from '../support.ts'
import { arn, defaults, fence, place, roleArn, subjectOf } from './support.ts'

const server = { accessKeyId: 'AKIASERVER', secretAccessKey: 'the secret of the server' }
const policy = sessionPolicy(place, subjectOf(defaults))
const request = { sessionName: 'alice.phone', policy }

describe('[P-10.34, P-12.28 to P-12.31] AssumeRole', function () {
  this.timeout(120_000)
  let sts: StsStandIn
  let offMs = 0
  const clients: Sts[] = []
  const open = async (changed: { url?: string; region?: string; roleArn?: string; credentials?: ServerCredentials } = {}): Promise<Sts> => {
    const client = await Sts.open({ region, roleArn, url: sts.url, credentials: server, ...changed })
    clients.push(client)
    return client
  }

  before(async () => {
    sts = await StsStandIn.start({
      now: () => Date.now() + offMs,
      roles: { [roleArn]: { trust: ['server', 'task'], policies: [fence] } },
      callers: {
        [server.accessKeyId]: { secret: server.secretAccessKey, arn: 'server' },
        ASIATASK: { secret: 'secret', arn: 'task', token: 'task token' },
        ASIAOLD: { secret: 'secret', arn: 'task', token: 'old token', expiresAtMs: 0 },
        AKIASTRANGER: { secret: 'secret', arn: 'stranger' },
      },
    })
  })
  beforeEach(() => {
    offMs = 0
    sts.asked.length = 0
    sts.failures.length = 0
  })
  afterEach(() => clients.splice(0).forEach((client) => client.close()))
  after(() => sts?.close())

  it('gives credentials for fifteen minutes that do what role and policy allow together', async () => {
    const client = await open()
    const beforeMs = Date.now()
    const given = await client.assume(request)
    const session = sts.sessions.get(given.accessKeyId)
    if (!session) expect.fail('no session')
    expect([session.secret, session.token, session.name, session.policyText]).to.deep.equal([
      given.secretAccessKey,
      given.sessionToken,
      'alice.phone',
      policy,
    ])
    expect(given.expiresAtMs).to.be.within(beforeMs + 900_000, Date.now() + 900_000)
    expect(mayDo(session, 'iot:Publish', arn('topic', 'acme/users/alice/x'))).to.equal(true)
    expect(mayDo(session, 'iot:Publish', arn('topic', 'acme/users/bob/x'))).to.equal(false)
  })

  it('works with the credentials of a role, too, which may not give more than an hour', async () => {
    await (await open({ credentials: { accessKeyId: 'ASIATASK', secretAccessKey: 'secret', sessionToken: 'task token' } })).assume(request)
    expect(sts.asked).to.deep.equal(['AssumeRole'])
  })

  it('sends what STS takes: its own answer to other policies is a fault of ours', async () => {
    const client = await open()
    for (const text of ['{', `"${'x'.repeat(2048)}"`, '"日"', '{"Version":"2012-10-17","Statement":[{}]}']) {
      await refusal(client.assume({ ...request, policy: text as SessionPolicy }), 'internal', /does not understand/)
    }
  })

  it('names sessions as STS allows, each client its own', () => {
    const uids = [
      'alice',
      encodeUid('a~b'),
      encodeUid('a', 'p'),
      encodeUid('p~a'),
      encodeUid('p@a'),
      encodeUid('é'.repeat(40)),
      encodeUid('x'.repeat(64)),
      `p~${encodeUid('x'.repeat(64))}`,
    ]
    const names = uids.flatMap((uid) => ['phone', 'x'.repeat(64), '=7E'].map((instance) => roleSessionName(uid, instance)))
    for (const name of names) expect(name).to.match(/^[\w+=,.@-]{2,64}$/)
    expect(new Set(names).size).to.equal(names.length)
    expect(roleSessionName('corp~alice', 'phone')).to.equal('corp@alice.phone')
  })

  it('is never called without a policy', async () => {
    const client = await open()
    for (const none of ['', undefined]) {
      const outcome = await client.assume({ ...request, policy: none as unknown as SessionPolicy }).catch((error: unknown) => error)
      expect(String(outcome)).to.include('never called without a session policy')
    }
    // The type forbids it: each of these is a mistake that the compiler must find.
    const mistakes = (): readonly Promise<unknown>[] => [
      // @ts-expect-error
      client.assume({ sessionName: 'alice.phone' }),
      // @ts-expect-error
      client.assume({ sessionName: 'alice.phone', policy: '{}' }),
    ]
    expect(mistakes).to.be.a('function')
    expect(sts.asked).to.deep.equal([])
  })

  it('says what to do where STS cannot pack the policy', async () => {
    sts.failures.push({ status: 400, code: 'PackedPolicyTooLarge', message: 'Packed policy consumes 103% of allotted space' })
    const error = await refusal((await open()).assume(request), 'bad-request', /103%.*less scope/)
    expect(error.details).to.deep.equal({ oauth: 'invalid_scope' })
  })

  it('is tried again when STS throttles, four times in all, with pauses that grow', async () => {
    const throttled = { status: 400, code: 'Throttling', message: 'Rate exceeded' }
    sts.failures.push(throttled, throttled)
    await (await open()).assume(request)
    expect(sts.asked).to.have.length(3)
    sts.asked.length = 0
    sts.failures.push(...Array.from({ length: 10 }, () => throttled))
    await refusal((await open()).assume(request), 'engine-unavailable', /Throttling/)
    expect(sts.asked).to.have.length(4)
  })

  const stranger = { accessKeyId: 'AKIASTRANGER', secretAccessKey: 'secret' }
  const failing: [string, Parameters<typeof open>[0], ErrorCode, RegExp][] = [
    ['a role that does not trust the caller', { credentials: stranger }, 'engine-refused', /does not trust/],
    ['a role that there is not', { roleArn: `${roleArn}-x` }, 'engine-refused', /does not trust/],
    [
      'expired credentials',
      { credentials: { accessKeyId: 'ASIAOLD', secretAccessKey: 'secret', sessionToken: 'old token' } },
      'engine-credentials',
      /renew them/,
    ],
    ['credentials that nobody knows', { credentials: { ...server, accessKeyId: 'AKIANOBODY' } }, 'engine-credentials', /not known/],
    ['a wrong secret', { credentials: { ...server, secretAccessKey: 'other' } }, 'engine-credentials', /not known/],
    ['another region', { region: 'us-east-1' }, 'engine-region', /region/],
    ['an STS that is not there', { url: 'http://127.0.0.1:1' }, 'engine-unavailable', /ECONNREFUSED/],
  ]
  for (const [what, changed, code, reason] of failing) {
    it(`says ${code} for ${what}`, async () => {
      await refusal((await open(changed)).assume(request), code, reason)
    })
  }

  it('says engine-region where STS is switched off in the region', async () => {
    sts.failures.push({ status: 403, code: 'RegionDisabledException' })
    await refusal((await open()).assume(request), 'engine-region', /region/)
  })

  it('says clock-skew for a clock that is off by twenty minutes, either way, though the SDK would correct it', async () => {
    for (const off of [1_200_000, -1_200_000]) {
      offMs = off
      await refusal((await open()).assume(request), 'clock-skew', /clock/)
    }
    offMs = 120_000
    await (await open()).assume(request)
  })

  it('tells nothing of secrets in what it says', async () => {
    const error = await refusal((await open({ credentials: stranger })).assume(request), 'engine-refused', /./)
    expect(error.message).to.not.include('secret')
  })
})
