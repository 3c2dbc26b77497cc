/**
 * Signed URLs, as AWS takes and refuses them. AWS's suite for signers is for any request, and ours signs one form: botocore stands in
 * for that suite. Comparing in constant time is for who verifies.
 */
import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { WebSocket } from 'ws'
import { Sts } from '../../../auth/aws-iot/sts.ts'
import { authorizerUrl, presignedUrl, type AwsCredentials } from '../../../auth/aws-iot/presign.ts'
import { sessionPolicy } from '../../../auth/aws-iot/policy.ts'
import { installBotocore, signedByBotocore, type SignRequest } from '../../support/aws/botocore.ts'
import { GatewayStandIn } from '../../support/aws/gateway.ts'
import { signatureOf, type SignedRequest } from '../../support/aws/sigv4.ts'
import { region, StsStandIn } from '../../support/aws/sts.ts'
import { skipLoudly } from '../../support/skipping.ts'
import { defaults, fence, place, roleArn, subjectOf } from './support.ts'

const server = { accessKeyId: 'AKIASERVER', secretAccessKey: 'the secret of the server' }
const startMs = Date.parse('2026-01-02T03:04:05Z')

/** Where AWS publishes its examples, with the hash of the canonical request and the signature that its own clients make. */
const vector = {
  endpoint: 'a1b2c3d4e5f6g7-ats.iot.eu-west-1.amazonaws.com',
  region,
  credentials: {
    accessKeyId: 'ASIAIOSFODNN7EXAMPLE',
    secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    sessionToken: 'IQoJ//+ö=',
  },
  nowMs: startMs,
  expiresInS: 900,
}

describe('[P-10.30] a signed URL', function () {
  this.timeout(120_000)

  let nowMs = startMs
  let sts: StsStandIn
  let gateway: GatewayStandIn
  let assumed: AwsCredentials

  before(async () => {
    sts = await StsStandIn.start({
      now: () => nowMs,
      roles: { [roleArn]: { trust: ['server'], policies: [fence] } },
      callers: { [server.accessKeyId]: { secret: server.secretAccessKey, arn: 'server' } },
      tokenBytes: 2_600,
    })
    gateway = await GatewayStandIn.start(sts)
    nowMs = Date.now()
    const client = await Sts.open({ region, roleArn, url: sts.url, credentials: server })
    assumed = await client.assume({ sessionName: 'alice.phone', policy: sessionPolicy(place, subjectOf(defaults)) })
    client.close()
    // From now on the time stands still.
  })
  beforeEach(() => {
    gateway.refusals.length = 0
    nowMs = assumed.expiresAtMs - 900_000
  })
  after(async () => {
    await gateway?.close()
    await sts?.close()
  })

  const signed = (changed: Partial<Parameters<typeof presignedUrl>[0]> = {}): string =>
    presignedUrl({ endpoint: gateway.host, region, credentials: assumed, nowMs, expiresInS: 900, ...changed }).replace('wss:', 'ws:')

  /** What the gateway says to an upgrade of this URL. */
  const opened = (
    url: string,
    protocols: readonly string[] = ['mqtt'],
    headers: Record<string, string> = {},
  ): Promise<'open' | 'refused'> =>
    new Promise((resolve) => {
      const socket = new WebSocket(url, [...protocols], { headers })
      socket.once('open', () => {
        resolve('open')
        socket.terminate()
      })
      socket.once('unexpected-response', (request, response) => {
        expect(response.statusCode).to.equal(403)
        resolve('refused')
        request.destroy()
      })
      socket.on('error', () => resolve('refused'))
    })
  const expectRefused = async (url: string, reason: string): Promise<void> => {
    expect(await opened(url), url).to.equal('refused')
    expect(gateway.refusals.splice(0)).to.deep.equal([reason])
  }

  it('is signed as AWS’s own clients sign it', () => {
    const url = presignedUrl(vector)
    expect(new URL(url).searchParams.get('X-Amz-Signature')).to.equal('d4f3cefa6580848c7589468e871f27ac441cd0afa70a78cda5e90a163b7d7907')
    expect(url.endsWith('&X-Amz-Security-Token=IQoJ%2F%2F%2B%C3%B6%3D')).to.equal(true)
  })

  it('opens a connection, with a session token of four kilobytes', async () => {
    expect(assumed.sessionToken.length).to.be.at.least(3_900)
    expect(await opened(signed())).to.equal('open')
    expect(await opened(signed(), ['mqttv3.1'])).to.equal('open')
  })

  it('is byte for byte what botocore makes', async function () {
    this.timeout(300_000)
    const problem = await installBotocore()
    if (problem !== undefined) skipLoudly(this, `botocore cannot be installed: ${problem}`)
    const requests = Array.from({ length: 200 }, (_, at): SignRequest => {
      const expiresInS = 1 + ((at * 7919) % 3600)
      const time = new Date(startMs + at * 86_399_000).toISOString().replace(/[:-]|\.\d{3}/g, '')
      const [secretAccessKey, sessionToken] = [randomBytes(30).toString('base64'), `${randomBytes(1 + at).toString('base64')}~!*'()/ü `]
      const endpoint = at % 2 === 0 ? vector.endpoint : `127.0.0.1:${1024 + at}`
      return {
        endpoint,
        region: ['eu-west-1', 'cn-north-1', 'us-gov-west-1'][at % 3] as string,
        accessKeyId: `ASIA${at}`,
        secretAccessKey,
        sessionToken,
        time,
        expiresInS,
      }
    })
    const ours = requests.map(({ time, accessKeyId, secretAccessKey, sessionToken, ...rest }) => {
      const at = Date.parse(time.replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5'))
      return presignedUrl({ ...rest, credentials: { accessKeyId, secretAccessKey, sessionToken }, nowMs: at })
    })
    expect(ours).to.deep.equal(await signedByBotocore(requests))
  })

  it('is refused with one digit changed', async () => {
    const url = signed()
    const digit = /X-Amz-Signature=(.)/.exec(url)?.[1] as string
    await expectRefused(url.replace(/X-Amz-Signature=./, `X-Amz-Signature=${digit === '0' ? '1' : '0'}`), 'signature')
  })

  it('would be refused with the token in what is signed, as other services want it', async () => {
    const url = new URL(signed())
    const get = (name: string): string => url.searchParams.get(`X-Amz-${name}`) ?? ''
    const query = [...url.searchParams].filter(([name]) => name !== 'X-Amz-Signature')
    const scope = get('Credential').split('/').slice(1).join('/')
    const asked = {
      method: 'GET',
      path: '/mqtt',
      headers: { host: gateway.host },
      signedHeaders: 'host',
      payload: '',
      time: get('Date'),
      scope,
    }
    const signature = (pairs: typeof query): string => signatureOf(assumed.secretAccessKey, { ...asked, query: pairs })
    expect(signature(query.filter(([name]) => name !== 'X-Amz-Security-Token'))).to.equal(get('Signature'))
    await expectRefused(signed().replace(get('Signature'), signature(query)), 'signature')
  })

  it('is refused without its token, with that of another session, and with another key', async () => {
    await expectRefused(signed().replace(/&X-Amz-Security-Token=.*/, ''), 'security token')
    await expectRefused(signed({ credentials: { ...assumed, sessionToken: assumed.sessionToken.slice(1) } }), 'security token')
    await expectRefused(signed({ credentials: { ...assumed, accessKeyId: 'ASIANOBODY' } }), 'access key')
  })

  it('is refused for another region and another service, and with a day that is not that of its time', async () => {
    await expectRefused(signed({ region: 'us-east-1' }), 'scope')
    await expectRefused(signed().replace('iotdevicegateway', 'iotdata'), 'scope')
    await expectRefused(signed().replace(/%2F\d{8}%2F/, '%2F20200101%2F'), 'scope')
  })

  it('bears a clock that is off by four minutes, and none that is off by twenty', async () => {
    const at = nowMs
    for (const offMs of [-240_000, 240_000]) expect(await opened(signed({ nowMs: at + offMs })), `${offMs}`).to.equal('open')
    for (const offMs of [-1_200_000, 1_200_000]) await expectRefused(signed({ nowMs: at + offMs }), 'time')
  })

  it('opens nothing once the credentials have expired; what is open stays', async () => {
    const url = signed({ expiresInS: 3_600 })
    const socket = new WebSocket(url, ['mqtt'])
    await new Promise((resolve) => socket.once('open', resolve))
    nowMs = assumed.expiresAtMs
    await expectRefused(url, 'expired credentials')
    expect(socket.readyState).to.equal(WebSocket.OPEN)
    socket.terminate()
  })

  it('is for one path', async () => {
    await expectRefused(signed().replace('/mqtt?', '/mqtt/?'), 'path')
    await expectRefused(signed().replace('/mqtt?', '/?'), 'path')
  })

  it('may be written in another order, and with other capitals in its escapes', async () => {
    const [before, query = ''] = signed().split('?')
    expect(await opened(`${before}?${query.split('&').toReversed().join('&')}`)).to.equal('open')
    expect(await opened(`${before}?${query.replaceAll(/%[0-9A-F]{2}/g, (escape) => escape.toLowerCase())}`)).to.equal('open')
  })

  it('is for one host, whatever its capitals, with its port', async () => {
    expect(await opened(signed({ endpoint: gateway.host.replace('127.0.0.1', 'localhost') }))).to.equal('open')
    expect(await opened(signed({ endpoint: gateway.host.replace('127.0.0.1', 'LOCALHOST') }))).to.equal('open')
    await expectRefused(signed({ endpoint: gateway.host.replace('127.0.0.1', 'localhost') }).replace('localhost', '127.0.0.1'), 'signature')
  })

  it('bears no parameter more, and none twice', async () => {
    await expectRefused(`${signed()}&x=1`, 'signature')
    await expectRefused(signed().replace('?', '?x=1&'), 'signature')
    await expectRefused(`${signed()}&X-Amz-Expires=900`, 'a parameter comes twice')
  })

  it('opens several connections within its time: only the client id tells them apart', async () => {
    const url = signed()
    expect(await opened(url)).to.equal('open')
    expect(await opened(url)).to.equal('open')
  })

  it('needs the subprotocol', async () => {
    expect(await opened(signed(), [])).to.equal('refused')
    expect(gateway.refusals).to.deep.equal(['subprotocol'])
  })

  it('is judged by a verifier that gives AWS’s own examples their signatures', () => {
    const [host, time] = ['example.amazonaws.com', '20150830T123600Z']
    const usual = {
      method: 'GET',
      path: '/',
      query: [],
      headers: { host, 'x-amz-date': time },
      signedHeaders: 'host;x-amz-date',
      payload: '',
      time,
      scope: '20150830/us-east-1/service/aws4_request',
    }
    const more = (headers: Readonly<Record<string, string>>): Pick<SignedRequest, 'headers' | 'signedHeaders'> => {
      const all = { ...usual.headers, ...headers }
      return { headers: all, signedHeaders: Object.keys(all).sort().join(';') }
    }
    // Of the test suite of AWS Signature Version 4, by their names there.
    const examples: readonly (readonly [string, Partial<SignedRequest>, string])[] = [
      ['get-vanilla', {}, '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'],
      ['post-vanilla', { method: 'POST' }, '5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b'],
      [
        'get-vanilla-query-order-key-case',
        {
          query: [
            ['Param2', 'value2'],
            ['Param1', 'value1'],
          ],
        },
        'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500',
      ],
      ['get-vanilla-utf8-query', { query: [['ሴ', 'bar']] }, '2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04'],
      [
        'post-header-key-sort',
        { method: 'POST', ...more({ 'my-header1': 'value1' }) },
        'c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c',
      ],
      [
        'post-x-www-form-urlencoded',
        { method: 'POST', payload: 'Param1=value1', ...more({ 'content-type': 'application/x-www-form-urlencoded' }) },
        'ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a',
      ],
    ]
    for (const [name, changed, signature] of examples)
      expect(signatureOf('wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', { ...usual, ...changed }), name).to.equal(signature)
  })

  it('for the authorizer is the token in two parts, the signature as RSA’s, escaped', () => {
    const token = 'aGVhZA.Y2xhaW1z.-_-_'
    const url = authorizerUrl({ endpoint: 'x.example', authorizer: 'acme-sync', tokenKey: 'token', token })
    expect(url).to.equal(
      'wss://x.example/mqtt?x-amz-customauthorizer-name=acme-sync&token=aGVhZA.Y2xhaW1z&x-amz-customauthorizer-signature=%2B%2F%2B%2F',
    )
  })
})
