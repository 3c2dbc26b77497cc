/** Session policies and the documents of the authorizer, judged by IAM’s rules. */
import { expect } from 'chai'
import { awsClientId } from '../../../auth/aws-iot/names.ts'
import { authorizerPolicies, minified, sessionPolicy } from '../../../auth/aws-iot/policy.ts'
import { defaultClaimsToGrants } from '../../../auth/claims.ts'
import { SyncError } from '../../../protocol/errors.ts'
import { encodeName, encodeUid } from '../../../protocol/names.ts'
import type { IamDocument } from '../../support/aws/iam.ts'
import { arn, authorized, defaults, fence, judged, place, subjectOf, verdictOf } from './support.ts'

const topic = (name: string): string => arn('topic', `acme/${name}`)
const filter = (name: string): string => arn('topicfilter', `acme/${name}`)
const client = (id: string): string => arn('client', id)

const { may } = judged(subjectOf(defaults))

describe('[P-10.32] the session policy', function () {
  this.timeout(120_000)

  it('lets the client connect as itself', () => {
    expect(may('iot:Connect', client('acme.alice.phone'))).to.equal(true)
  })

  it('lets it connect as nobody else: another instance, a longer id, another user, a service', () => {
    for (const id of [
      'acme.alice.laptop',
      'acme.alice.phone2',
      'acme.alice.phone.2',
      'acme.alice.',
      'acme.bob.phone',
      'svc.acme.bridge-1',
      'phone',
    ]) {
      expect(may('iot:Connect', client(id)), id).to.equal(false)
    }
  })

  it('lets it publish on the plain door and the put door', () => {
    for (const name of ['users/alice/x', 'put/users/alice/x', 'users/alice/a/b/c', 'outbox/alice/bob/x', 'put/spaces/b/x']) {
      expect(may('iot:Publish', topic(name)), name).to.equal(true)
    }
  })

  it('lets it publish on nothing that is the service’s', () => {
    const reply = `reply/${encodeName('acme.alice.phone')}`
    for (const name of [
      'sync/users/alice/x',
      `${reply}/1`,
      'inbox/alice/bob/x',
      'put/inbox/alice/bob/x',
      'auth/renew',
      'sync/spaces/b/$ctl',
      'open/-/x',
      'x',
    ]) {
      expect(may('iot:Publish', topic(name)), name).to.equal(false)
    }
    for (const verb of ['publish', 'subscribe']) {
      const forged = judged(
        subjectOf(['sync/users/bob', 'put/users/bob', 'reply/acme=2Ebob=2Ephone', 'auth', 'x'].map((first) => `${verb}:${first}/#`)),
      )
      for (const name of ['sync/users/bob/x', 'put/users/bob/x', 'reply/acme=2Ebob=2Ephone/1', 'auth/renew', 'x/y']) {
        for (const [action, resource] of [
          ['iot:Publish', topic(name)],
          ['iot:Subscribe', filter(name)],
          ['iot:Receive', topic(name)],
        ] as const) {
          expect(forged.may(action, resource), `${verb} ${name}`).to.equal(false)
        }
      }
    }
  })

  it('lets it reach no other user, and none whose name begins alike', () => {
    for (const name of [
      'users/bob/x',
      'users/alice2/x',
      'users/alic/x',
      'spaces/b2/x',
      'spaces/c/x',
      'outbox/bob/alice/x',
      'inbox/bob/alice/x',
    ]) {
      for (const door of ['', 'put/', 'sync/']) {
        expect(may('iot:Publish', topic(door + name)), door + name).to.equal(false)
        expect(may('iot:Subscribe', filter(door + name)), door + name).to.equal(false)
        expect(may('iot:Receive', topic(door + name)), door + name).to.equal(false)
      }
    }
    expect(may('iot:Publish', topic('x/acme/users/alice/y'))).to.equal(false)
    expect(may('iot:Receive', topic('users/bob/acme/users/alice/y'))).to.equal(false)
  })

  it('lets it reach nothing of AWS, and nothing outside the root', () => {
    for (const name of ['$aws/rules/x/acme/users/alice/x', '$aws/events/#', '$SYS/x', 'users/alice/x', 'acme2/users/alice/x', 'acme']) {
      expect(may('iot:Publish', arn('topic', name)), name).to.equal(false)
      expect(may('iot:Subscribe', arn('topicfilter', name)), name).to.equal(false)
    }
  })

  it('lets it retain nothing: state is written by the put door, and a will is an ordinary publish', () => {
    for (const name of ['users/alice/x', 'put/users/alice/x']) expect(may('iot:RetainPublish', topic(name)), name).to.equal(false)
    const wide = verdictOf([
      [{ Version: '2012-10-17', Statement: { Effect: 'Allow', Action: '*', Resource: '*' } }],
      [JSON.parse(judged(subjectOf(defaults)).text) as IamDocument],
    ])
    expect(wide('iot:RetainPublish', topic('users/alice/x')), 'whatever the role allows').to.equal(false)
    expect(may('iot:Publish', topic('users/bob/will'))).to.equal(false)
  })

  it('lets it subscribe with wildcards inside its own', () => {
    for (const name of ['users/alice/#', 'users/alice/+', 'users/alice/+/x', 'sync/users/alice/#', 'inbox/alice/#', 'spaces/b/+/#']) {
      expect(may('iot:Subscribe', filter(name)), name).to.equal(true)
    }
  })

  it('lets it subscribe to nothing wider', () => {
    for (const name of [
      '#',
      '+/#',
      'users/#',
      'users/+/x',
      '+/alice/x',
      '+/users/alice/#',
      'sync/#',
      'sync/+/alice/#',
      'reply/#',
      'reply/+/1',
      'users/alice',
      'users/alice#',
    ]) {
      expect(may('iot:Subscribe', filter(name)), name).to.equal(false)
    }
    for (const name of ['#', '+/users/alice/#', '+/#']) expect(may('iot:Subscribe', arn('topicfilter', name)), name).to.equal(false)
  })

  it('lets it share no subscription', () => {
    expect(may('iot:Subscribe', arn('topicfilter', '$share/g/acme/users/alice/#'))).to.equal(false)
  })

  it('knows filters from topics, and gives both to a reader', () => {
    expect(may('iot:Subscribe', topic('users/alice/x'))).to.equal(false)
    expect(may('iot:Publish', filter('users/alice/x'))).to.equal(false)
    expect(may('iot:Receive', filter('users/alice/x'))).to.equal(false)
    for (const name of ['users/alice/x', 'sync/users/alice/x', 'inbox/alice/bob/x', 'spaces/b/x']) {
      expect(may('iot:Subscribe', filter(name)), name).to.equal(true)
      expect(may('iot:Receive', topic(name)), name).to.equal(true)
    }
    const reply = `reply/${encodeName('acme.alice.phone')}`
    expect(may('iot:Subscribe', filter(`${reply}/#`))).to.equal(true)
    expect(may('iot:Receive', topic(`${reply}/$ctl`))).to.equal(true)
    for (const name of ['put/users/alice/#', 'put/spaces/b/x']) {
      expect(may('iot:Subscribe', filter(name)), 'puts are for the service alone').to.equal(false)
    }
    expect(may('iot:Receive', topic('put/inbox/alice/bob/x'))).to.equal(false)
  })

  it('gives a writer that is no reader nothing to receive, and a reader nothing to publish', () => {
    const writer = judged(subjectOf(['publish:spaces/b/#'])).may
    expect(writer('iot:Publish', topic('spaces/b/x'))).to.equal(true)
    expect(writer('iot:Receive', topic('spaces/b/x'))).to.equal(false)
    const reader = judged(subjectOf(['subscribe:spaces/b/#'])).may
    expect(reader('iot:Publish', topic('spaces/b/x'))).to.equal(false)
    expect(reader('iot:Receive', topic('spaces/b/x'))).to.equal(true)
  })

  it('minds the case of topics, and not that of actions', () => {
    expect(may('iot:Publish', topic('users/Alice/x'))).to.equal(false)
    expect(may('IOT:publish', topic('users/alice/x'))).to.equal(true)
  })

  it('holds in one account, region and partition only', () => {
    const subject = subjectOf(defaults)
    for (const other of [
      topic('users/alice/x').replace('eu-west-1', 'us-east-1'),
      topic('users/alice/x').replace('123456789012', '210987654321'),
      topic('users/alice/x').replace('arn:aws:', 'arn:aws-cn:'),
    ]) {
      expect(verdictOf([[JSON.parse(sessionPolicy(place, subject)) as IamDocument]])('iot:Publish', other), other).to.equal(false)
    }
    for (const [region, partition] of [
      ['cn-north-1', 'aws-cn'],
      ['us-gov-west-1', 'aws-us-gov'],
      ['eu-west-1', 'aws'],
    ] as const) {
      expect(sessionPolicy({ ...place, region }, subject)).to.include(`arn:${partition}:iot:${region}:123456789012:client/acme.alice.phone`)
    }
  })

  it('gives nothing that the role does not, and the role nothing that it does not', () => {
    const session = JSON.parse(judged(subjectOf(defaults)).text) as IamDocument
    const deny: IamDocument = { Version: '2012-10-17', Statement: { Effect: 'Deny', Action: 'iot:Publish', Resource: '*' } }
    expect(verdictOf([[fence, deny], [session]])('iot:Publish', topic('users/alice/x'))).to.equal(false)
    expect(verdictOf([[], [session]])('iot:Publish', topic('users/alice/x'))).to.equal(false)
    expect(verdictOf([[fence]])('iot:Publish', topic('users/bob/x')), 'the fence alone is for everybody').to.equal(true)
    expect(may('iot:DeleteConnection', client('acme.alice.phone'))).to.equal(false)
  })

  it('takes every name as it stands, whatever IAM and MQTT read in it', () => {
    for (const sub of [
      '*',
      '?',
      'a*',
      '${aws:userid}',
      '${iot:ClientId}',
      '+',
      '#',
      'a/b',
      '..',
      '\0',
      'é',
      'e\u0301',
      '😀',
      'x'.repeat(200),
      'a~b',
      'a.b',
    ]) {
      const uid = encodeUid(sub)
      const other = judged(subjectOf([`publish:users/${uid}/#`, `subscribe:users/${uid}/#`], uid)).may
      expect(other('iot:Publish', topic(`users/${uid}/x`)), sub).to.equal(true)
      expect(other('iot:Connect', client(awsClientId('acme', uid, 'phone', 128))), sub).to.equal(true)
      const context = { 'aws:userid': 'bob', 'iot:clientid': 'bob' }
      for (const name of ['users/bob/x', 'users/x/x', 'users//x', 'users/=2A/y'].filter((one) => !one.startsWith(`users/${uid}/`))) {
        expect(other('iot:Publish', topic(name), context), `${sub} on ${name}`).to.equal(false)
        expect(other('iot:Subscribe', filter(name), context), `${sub} to ${name}`).to.equal(false)
      }
    }
  })

  it('holds no variable: what looks like one in a grant is a name', () => {
    const names = ['users/alice/${aws:userid}/#', 'users/alice/$${aws:userid}', 'users/alice/${$}{aws:userid}', 'users/alice/a$/#']
    for (const name of names) {
      const { may: held } = judged(subjectOf([`publish:${name}`]))
      const exact = name.replace('#', 'x')
      for (const context of [{}, { 'aws:userid': 'bob' }, { 'aws:userid': '*' }, { 'aws:userid': 'a/b' }]) {
        expect(held('iot:Publish', topic(exact), context), exact).to.equal(true)
        for (const other of ['users/alice/bob/x', 'users/alice/bob', 'users/alice/x/x', 'users/alice/*', 'users/alice/$bob']) {
          expect(held('iot:Publish', topic(other), context), `${name} on ${other}`).to.equal(false)
        }
      }
    }
  })

  it('denies nothing that a wider filter would deliver all the same: the one denial is of filters across streams', () => {
    const { may: held } = judged(subjectOf(['publish:users/#', 'subscribe:users/#']))
    for (const name of ['users/alice/x', 'users/bob/#', 'users/bob/+', 'sync/users/bob/#'])
      expect(held('iot:Subscribe', filter(name)), name).to.equal(true)
    for (const name of ['users/#', 'users/+', 'users/+/x', 'sync/users/#', 'sync/users/+/x', '#', '+/#'])
      expect(held('iot:Subscribe', filter(name)), name).to.equal(false)
    expect(held('iot:Publish', topic('users/bob/x'))).to.equal(true)
    expect(held('iot:Publish', topic('spaces/b/x'))).to.equal(false)
  })

  it('ends at its deadline, for every action, and where AWS does not say what time it is', () => {
    const deadlineMs = Date.parse('2030-01-01T01:00:00Z')
    const { may: held } = judged(subjectOf(defaults), { deadlineMs })
    const asked = [
      ['iot:Connect', client('acme.alice.phone')],
      ['iot:Publish', topic('users/alice/x')],
      ['iot:Subscribe', filter('users/alice/#')],
      ['iot:Receive', topic('users/alice/x')],
    ] as const
    for (const [action, resource] of asked) {
      expect(held(action, resource, { 'aws:currenttime': '2030-01-01T00:59:59Z' }), action).to.equal(true)
      for (const time of ['2030-01-01T01:00:00Z', '2030-01-01T01:00:01Z']) {
        expect(held(action, resource, { 'aws:currenttime': time }), `${action} at ${time}`).to.equal(false)
      }
      expect(held(action, resource), `${action} at no time`).to.equal(false)
    }
  })

  it('is made of whole statements', () => {
    const { Statement } = JSON.parse(judged(subjectOf([])).text) as { Statement: { Effect: string; Action: string; Resource: string }[] }
    for (const statement of Statement) expect(statement).to.include.keys('Effect', 'Action', 'Resource')
    expect(judged(subjectOf([])).may('iot:Connect', client('acme.alice.phone'))).to.equal(true)
  })

  it('is a topic itself where a prefix has more levels than a stream, as it is to MQTT [P-4.9]', () => {
    const { may: held } = judged(subjectOf(['publish:users/alice/notes/#', 'subscribe:users/alice/notes/#', 'publish:spaces/b/exact']))
    for (const door of ['', 'put/']) {
      expect(held('iot:Publish', topic(`${door}users/alice/notes`)), door).to.equal(true)
      expect(held('iot:Publish', topic(`${door}users/alice/notes/1`)), door).to.equal(true)
      expect(held('iot:Publish', topic(`${door}users/alice/notes2`)), door).to.equal(false)
      expect(held('iot:Publish', topic(`${door}spaces/b/exact`)), door).to.equal(true)
      expect(held('iot:Publish', topic(`${door}spaces/b/exact/1`)), door).to.equal(false)
    }
    expect(held('iot:Subscribe', filter('sync/users/alice/notes'))).to.equal(true)
    expect(held('iot:Receive', topic('sync/users/alice/notes'))).to.equal(true)
  })
})

describe('[P-10.33] the size of policies', function () {
  this.timeout(120_000)

  const spaces = (count: number): string[] =>
    defaultClaimsToGrants('alice', { spaces: Object.fromEntries(Array.from({ length: count }, (_, at) => [`b${at}`, 'read'])) }) as string[]

  it('is at most 2,048 characters, and one more space is refused with how many fit', () => {
    let fits = 0
    while (fits < 20 && length(fits + 1) !== undefined) fits++
    expect(fits).to.be.within(1, 5)
    expect(length(fits)).to.be.at.most(2048)
    for (const count of [fits + 1, fits + 5]) {
      try {
        sessionPolicy(place, subjectOf(spaces(count)))
        expect.fail('it was made')
      } catch (error) {
        expect(error).to.be.instanceOf(SyncError)
        expect((error as SyncError).code).to.equal('bad-request')
        expect((error as SyncError).details).to.deep.equal({ oauth: 'invalid_scope' })
        expect((error as SyncError).message)
          .to.include(`${fits} of ${count} spaces fit`)
          .and.include('custom authorizer')
      }
    }
    function length(count: number): number | undefined {
      try {
        return sessionPolicy(place, subjectOf(spaces(count))).length
      } catch {
        return undefined
      }
    }
  })

  it('is enough for what everybody has by default, with a deadline, for a user id of 36 characters', () => {
    const uid = '01234567-89ab-cdef-0123-456789abcdef'
    const subject = subjectOf(defaultClaimsToGrants(uid, {}), uid, 'phone-123456')
    expect(sessionPolicy(place, subject, { deadlineMs: 1_900_000_000_000 }).length).to.be.at.most(2048)
  })

  it('says so where even a user’s own streams are too much', () => {
    const uid = encodeUid('ö'.repeat(20), 'a-very-long-prefix-of-an-issuer')
    expect(() => sessionPolicy(place, subjectOf(defaultClaimsToGrants(uid, {}), uid, 'p'))).to.throw(
      'not even what is granted beside spaces fits',
    )
  })

  it('leaves out what lies within another grant', () => {
    const narrow = ['publish:users/alice/notes/#', 'publish:users/alice/notes/1', 'subscribe:users/alice/x', 'publish:users/alice']
    expect(judged(subjectOf([...defaults, ...narrow])).text).to.equal(judged(subjectOf(defaults)).text)
  })

  it('is ASCII, whatever the topics', () => {
    const { text, may: held } = judged(subjectOf(['publish:users/alice/日記/#', 'publish:users/alice/😀']))
    expect(text).to.match(/^[\x20-\x7e]+$/)
    for (const name of ['users/alice/日記/1', 'users/alice/😀']) expect(held('iot:Publish', topic(name)), name).to.equal(true)
  })

  it('of the authorizer is up to ten times as much, with the same meaning', () => {
    const many = subjectOf(spaces(35))
    const documents = authorizerPolicies(place, many)
    expect(documents.length).to.be.within(5, 10)
    for (const document of documents) expect(minified(document).length).to.be.at.most(2048)
    const allowed = authorized(many)
    for (let at = 0; at < 35; at++) {
      expect(allowed('iot:Subscribe', filter(`sync/spaces/b${at}/#`)), `${at}`).to.equal(true)
      expect(allowed('iot:Publish', topic(`spaces/b${at}/x`)), `${at}`).to.equal(false)
    }
    expect(allowed('iot:Connect', client('acme.alice.phone'))).to.equal(true)
    expect(() => authorizerPolicies(place, subjectOf(spaces(100)))).to.throw(/need \d+ policy documents, at most 10/)
  })

  it('does not keep a deadline from any of the documents', () => {
    const deadlineMs = Date.parse('2030-01-01T01:00:00Z')
    const allowed = authorized(subjectOf(spaces(35)), { deadlineMs })
    for (const space of ['b0', 'b34']) {
      expect(allowed('iot:Receive', topic(`spaces/${space}/x`), { 'aws:currenttime': '2030-01-01T00:00:00Z' })).to.equal(true)
      expect(allowed('iot:Receive', topic(`spaces/${space}/x`), { 'aws:currenttime': '2030-01-01T01:00:00Z' })).to.equal(false)
    }
  })
})
