import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { AuthConfig, IssuerConfig } from '../../auth/index.ts'
import { closeAll, ec, hmacIssuer, open, refusal, rsa, temporaryFolder } from './support.ts'

describe('the configuration of tokens', () => {
  afterEach(closeAll)

  const pem: IssuerConfig = { issuer: 'b', algorithms: ['RS256'], publicKeyFile: '/does/not/exist' }
  const refusedConfigs: [string, Partial<AuthConfig>, RegExp][] = [
    [
      'two issuers without a prefix [P-10.8]',
      { issuers: [hmacIssuer, { ...hmacIssuer, issuer: 'other' }] },
      /no prefix: their users would meet/,
    ],
    [
      'two issuers with one prefix',
      { issuers: [hmacIssuer, { ...hmacIssuer, issuer: 'a', prefix: 'x' }, { ...hmacIssuer, issuer: 'b', prefix: 'x' }] },
      /the prefix x/,
    ],
    ['two issuers of one name', { issuers: [hmacIssuer, { ...hmacIssuer, prefix: 'x' }] }, /two issuers are called/],
    ['a prefix that could be taken for a name', { issuers: [{ ...hmacIssuer, prefix: 'a~b' }] }, /prefix/],
    ['a secret shorter than 32 bytes', { issuers: [{ ...hmacIssuer, secret: 'x'.repeat(31) }] }, /shorter than 32 bytes/],
    ['an issuer without a name', { issuers: [{ ...hmacIssuer, issuer: '' }] }, /no name/],
    ['no key source', { issuers: [{ issuer: 'a', algorithms: ['RS256'] }] }, /exactly one of/],
    ['two key sources', { issuers: [{ ...hmacIssuer, jwksUrl: 'https://a.example/' }] }, /exactly one of/],
    ['no algorithm', { issuers: [{ ...hmacIssuer, algorithms: [] }] }, /allows no algorithm/],
    ['an unknown algorithm', { issuers: [{ ...hmacIssuer, algorithms: ['none' as 'HS256'] }] }, /not one of/],
    ['HS256 with a public key', { issuers: [{ ...pem, algorithms: ['HS256', 'RS256'] }] }, /HS256 goes with secret/],
    ['RS256 with a secret', { issuers: [{ ...hmacIssuer, algorithms: ['RS256', 'HS256'] }] }, /HS256 goes with secret/],
    ['a key file that is not there', { issuers: [pem] }, /ENOENT/],
    [
      'a key set file that is not there',
      { issuers: [{ issuer: 'b', algorithms: ['RS256'], jwksFile: '/does/not/exist' }] },
      /cannot be read/,
    ],
    [
      'a key set URL that is none',
      { issuers: [{ issuer: 'b', algorithms: ['RS256'], jwksUrl: 'file:///etc/passwd' }] },
      /no http or https URL/,
    ],
    ['anonymous clients beside an issuer', { anonymous: true, openEnabled: true }, /anonymous/],
    ['an empty audience', { audience: '' }, /audience/],
    ['neither issuer nor data folder', { issuers: [] }, /data folder/],
    ['a token age beyond any timer', { maxTokenAgeMs: 2 ** 31 }, /maxTokenAgeMs/],
  ]
  for (const [what, config, message] of refusedConfigs) {
    it(`refuses ${what}`, async () => {
      await refusal(open({ config }), 'bad-request', message)
    })
  }

  it('refuses a private key, a key of another kind and a short key where a public key belongs', async () => {
    const folder = await temporaryFolder()
    const file = join(folder, 'key.pem')
    const attempt = () => open({ config: { issuers: [{ ...pem, publicKeyFile: file }] } })
    await writeFile(file, rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }))
    await refusal(attempt(), 'bad-request', /holds a private key/)
    await writeFile(file, ec.publicKey.export({ type: 'spki', format: 'pem' }))
    await refusal(attempt(), 'bad-request', /fits none of RS256/)
    await writeFile(file, 'no key')
    await refusal(attempt(), 'bad-request', /key.pem/)
    await writeFile(file, rsa.publicKey.export({ type: 'spki', format: 'pem' }))
    await attempt()
  })
})
