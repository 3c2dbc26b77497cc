/** `DeleteConnection` as AWS's own signer signs it. */
import { expect } from 'chai'
import { signedClose } from '../../../auth/aws-iot/close-connection.ts'
import { deletionByBotocore, installBotocore } from '../../support/aws/botocore.ts'
import { skipLoudly } from '../../support/skipping.ts'

describe('a request to close a connection', function () {
  this.timeout(300_000)

  it('[P-20.19] is signed as botocore signs it, with names that must be escaped and without a session token', async function () {
    const problem = await installBotocore()
    if (problem !== undefined) skipLoudly(this, `botocore cannot be installed: ${problem}`)
    const endpoint = 'a1b2c3d4e5f6g7-ats.iot.eu-west-1.amazonaws.com'
    for (const [clientId, sessionToken] of [
      ['acme.alice.phone', 'IQoJ//+=='],
      ['acme.org~auth0=7C65f1.a-b_c', 'x'],
      ['acme.alice.phone', ''],
    ] as const) {
      const credentials = { accessKeyId: 'ASIAEXAMPLE', secretAccessKey: 'secret/+', ...(sessionToken === '' ? {} : { sessionToken }) }
      const { url, headers } = signedClose({ endpoint, region: 'eu-west-1', credentials, clientId, nowMs: Date.UTC(2026, 0, 2, 3, 4, 5) })
      const path = url.slice(`https://${endpoint}`.length)
      expect(decodeURIComponent(path)).to.equal(`/connections/${clientId}`)
      const asked = { endpoint, path, region: 'eu-west-1', accessKeyId: 'ASIAEXAMPLE', secretAccessKey: 'secret/+', sessionToken }
      expect(headers['authorization']).to.equal(await deletionByBotocore({ ...asked, time: '20260102T030405Z' }))
    }
  })
})
