/** `/v1/token` of a whole server whose connections AWS IoT Core carries. */
import { expect } from 'chai'
import { exchangeGrantType, jwtTokenType } from '../../../auth/index.ts'
import { startServer } from '../../../cli/server.ts'
import { StsStandIn } from '../../support/aws/sts.ts'
import { tempFolder } from '../../support/temp.ts'
import { audience, closeAll, hmacIssuer, later, secret, sign } from '../support.ts'
import { fence, place, roleArn } from './support.ts'

const awsCredentials = { accessKeyId: 'AKIASERVER', secretAccessKey: 'the secret of the server' }

describe('[P-10.30] /v1/token for AWS IoT Core', function () {
  this.timeout(120_000)
  afterEach(closeAll)

  /** A server, its STS, and how it is asked. */
  async function started(): Promise<{ sts: StsStandIn; ask: () => Promise<Response> }> {
    const issuer = { issuer: hmacIssuer.issuer, algorithms: ['HS256' as const], secret }
    const sts = await StsStandIn.start({
      roles: { [roleArn]: { trust: ['server'], policies: [fence] } },
      callers: { [awsCredentials.accessKeyId]: { secret: awsCredentials.secretAccessKey, arn: 'server' } },
    })
    later(() => sts.close())
    const awsIot = { ...place, endpoint: 'x.example', roleArn, stsUrl: sts.url }
    const data = await tempFolder()
    const server = await startServer(
      { data, store: 'memory:', mqttPort: 0, httpPort: 0, audience, issuers: [issuer], awsIot },
      { awsCredentials },
    )
    later(() => server.stop())
    const iat = Math.floor(Date.now() / 1000)
    const subject_token = await sign({ claims: { iat, exp: iat + 3600 } })
    const body = new URLSearchParams({ grant_type: exchangeGrantType, subject_token, subject_token_type: jwtTokenType, client_id: 'phone' })
    return { sts, ask: () => fetch(`${server.addresses.httpUrl}/v1/token`, { method: 'POST', body }) }
  }

  it('[P-10.34] over HTTP is 503 with Retry-After where STS throttles, and says no more than that', async () => {
    const { sts, ask } = await started()
    const good = (await (await ask()).json()) as { mqtt: object; mqtt_url: string }
    expect(good.mqtt).to.deep.equal({ engine: 'aws-iot', auth: 'sigv4', client_id: 'acme.alice.phone', root: 'acme', url_expires_in: 900 })
    expect(good.mqtt_url).to.include('X-Amz-Signature=')
    sts.failures.push(...Array.from({ length: 4 }, () => ({ status: 400, code: 'Throttling', message: 'secret detail' })))
    const busy = await ask()
    expect([busy.status, busy.headers.get('retry-after')]).to.deep.equal([503, '1'])
    expect(await busy.json()).to.deep.equal({
      error: 'temporarily_unavailable',
      error_description: 'The engine lets nobody in at the moment',
    })
    sts.failures.push({ status: 403, code: 'AccessDenied' })
    const refused = await ask()
    expect([refused.status, ((await refused.json()) as { error: string }).error]).to.deep.equal([503, 'temporarily_unavailable'])
  })

  it('[P-10.34] over HTTP is a 503 with Retry-After for expired credentials, a wrong region, a role that does not trust and a clock that is off', async () => {
    const { sts, ask } = await started()
    for (const failure of [
      { status: 403, code: 'ExpiredToken' },
      { status: 403, code: 'InvalidClientTokenId' },
      { status: 403, code: 'RegionDisabledException' },
      { status: 403, code: 'AccessDenied' },
      { status: 403, code: 'SignatureDoesNotMatch', message: 'Credential should be scoped to a valid region.' },
      { status: 400, code: 'RequestExpired', message: 'secret detail' },
    ]) {
      // The client of the AWS SDK corrects its clock and asks again.
      sts.failures.push(failure, failure, failure, failure)
      const answer = await ask()
      sts.failures.length = 0
      expect([answer.status, answer.headers.get('retry-after')], failure.code).to.deep.equal([503, '1'])
      const text = await answer.text()
      expect((JSON.parse(text) as { error: string }).error, failure.code).to.equal('temporarily_unavailable')
      // Which of them it is the operator reads in the log.
      expect(text).to.not.match(/secret|STS|role|arn:/i)
    }
    expect((await ask()).status).to.equal(200)
  })

  it('[P-10.33] over HTTP is invalid_scope where STS cannot pack the policy, which no waiting changes', async () => {
    const { sts, ask } = await started()
    sts.failures.push({ status: 400, code: 'PackedPolicyTooLarge', message: 'Packed size of session policy is 106 %' })
    const answer = await ask()
    expect([answer.status, answer.headers.get('retry-after')]).to.deep.equal([400, null])
    const { error, error_description: reason } = (await answer.json()) as { error: string; error_description: string }
    expect(error).to.equal('invalid_scope')
    expect(reason).to.match(/less scope/)
    expect(sts.asked).to.have.length(1)
  })
})
