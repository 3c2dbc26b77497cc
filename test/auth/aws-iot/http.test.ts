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

  it('[P-10.34] over HTTP is 503 with Retry-After where STS throttles, and says no more than that', async () => {
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
    const ask = (): Promise<Response> => fetch(`${server.addresses.httpUrl}/v1/token`, { method: 'POST', body })
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
})
