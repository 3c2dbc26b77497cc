/** `tidemark aws plan`, which asks AWS nothing, and what it says of an account that it may ask. */
import { writeFile } from 'node:fs/promises'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { inProcess, tidemark, type Run } from '../cli/run.ts'
import { ControlPlane } from '../support/aws/control-plane.ts'
import { account, region } from '../support/aws/sts.ts'
import { sourceProgram } from '../support/program.ts'
import { tempFolder } from '../support/temp.ts'
import { everything, jwksOf, newKey, placeFlags as place, resolvedWith, withEnv } from './support.ts'

describe('tidemark aws plan', function () {
  this.timeout(120_000)
  const keys = { first: newKey('one'), second: newKey('two') }
  let jwks = ''
  let all: string[] = []

  before(async () => {
    jwks = join(await tempFolder(), 'jwks.json')
    await writeFile(jwks, jwksOf(keys.first, keys.second))
    const queue = ['--ingest', 'sqs', '--alarm-topic', everything['AlarmTopic'] as string]
    all = [...place, '--jwks', jwks, '--issuer', 'https://sync.example', ...queue]
  })

  describe('without an account', () => {
    it('prints all that apply makes, and opens no socket', async () => {
      const preload = join(await tempFolder(), 'no-sockets.mjs')
      await writeFile(preload, noSockets)
      const command = [process.execPath, '--import', preload, sourceProgram]
      const { code, stdout, stderr } = await tidemark(['aws', 'plan', ...all], { command })
      expect({ code, stderr }, stdout).to.deep.equal({ code: 0, stderr: '' })
      expect(stdout).to.match(/^acme in account 123456789012, eu-west-1: stack tidemark-acme\nAWS was not asked/)
      const { resources } = resolvedWith({ ...everything, BrokerJwks: 'x' })
      for (const [id, { type, name, purpose }] of resources)
        expect(stdout).to.include(`+ ${type}  ${name}${name === id ? '' : `  (${id})`}\n    # ${purpose}\n`)
      expect(stdout).to.match(new RegExp(`\\n${resources.size} to add\\.\\n$`))
      for (const line of ['MaxSessionDuration: 3600', 'IOT_ROOT: acme', 'BROKER_ISSUER: https://sync.example', 'maxReceiveCount: 5'])
        expect(stdout).to.match(new RegExp(`^ +${line}$`, 'm'))
      expect(stdout).to.include(`- arn:aws:iot:eu-west-1:123456789012:topic/acme/put/*\n`)
      // The same watch sees the sockets of a command that opens some.
      const asking = await tidemark(['aws', 'plan', ...place, '--compare'], {
        command,
        env: { AWS_ACCESS_KEY_ID: 'x', AWS_SECRET_ACCESS_KEY: 'y' },
      })
      expect(asking.code).to.equal(1)
      expect(asking.stderr).to.include('a socket was opened')
    })

    it('leaves out what was not asked for', async () => {
      const { stdout } = await inProcess(['aws', 'plan', ...place])
      expect(stdout).to.include('AWS::IAM::Role  acme-client-eu-west-1')
      expect(stdout).to.not.match(/AWS::(?:IoT|Lambda|SQS)::/)
    })

    it('shows the code as its hash, and keys as they are', async () => {
      const { stdout } = await inProcess(['aws', 'plan', ...all])
      expect(stdout).to.match(/ZipFile: \d{5} characters, SHA-256 [0-9a-f]{16}\n/)
      expect(stdout).to.match(/first: "-----BEGIN PUBLIC KEY-----\\n/)
    })

    const refused: [string, string[], RegExp][] = [
      ['a root that cannot be', ['--root', 'A', '--region', region, '--account', account], /^tidemark: --root must be/],
      ['the root of services', ['--root', 'svc', '--region', region, '--account', account], /^tidemark: --root must not be svc/],
      ['an account that is none', ['--root', 'a', '--region', region, '--account', '1'], /^tidemark: --account must be twelve digits/],
      ['no account', ['--root', 'a', '--region', region], /required option '--account <ID>'/],
      ['keys without an issuer', [...place, '--jwks', 'x'], /--jwks and --issuer go together/],
      ['another way of ingest', [...place, '--ingest', 'kafka'], /It is mqtt or sqs/],
      ['days that CloudWatch does not know', [...place, '--log-days', '2'], /It is one of 1, 3/],
    ]
    for (const [what, args, why] of refused) {
      it(`refuses ${what}`, async () => {
        const { code, stderr, stdout } = await inProcess(['aws', 'plan', ...args])
        expect({ code, stdout }).to.deep.equal({ code: 2, stdout: '' })
        expect(stderr).to.match(why)
      })
    }

    it('refuses keys that it cannot use', async () => {
      const file = join(await tempFolder(), 'jwks.json')
      const says = async (text: string): Promise<string> => {
        await writeFile(file, text)
        const { code, stderr } = await inProcess(['aws', 'plan', ...place, '--jwks', file, '--issuer', 'https://x'])
        expect(code).to.equal(1)
        return stderr
      }
      expect(await says('nonsense')).to.include('is no JWKS')
      expect(await says('{"keys":[{"kty":"EC","kid":"x"}]}')).to.include('has no RSA key with a kid')
      expect(await says('{"keys":[{"kty":"RSA","kid":"x","n":"AQAB","e":"AQAB"}]}')).to.include('AWS takes RSA of 2,048 bits and more')
      expect(await says(jwksOf(keys.first, keys.second, newKey('three')))).to.include('has 3 keys, at most 2')
      const { stderr } = await inProcess(['aws', 'plan', ...place, '--jwks', `${file}.not`, '--issuer', 'https://x'])
      expect(stderr).to.match(/cannot be read: ENOENT/)
    })
  })

  describe('with --compare', () => {
    let plane: ControlPlane
    let restore: () => void
    const compare = (...args: string[]): Promise<Run> => inProcess(['aws', 'plan', ...args, '--compare'])

    beforeEach(async () => {
      plane = await ControlPlane.start()
      restore = withEnv(plane.env)
    })
    afterEach(async () => {
      restore()
      await plane.close()
    })

    it('prints everything for an account that has nothing, and changes nothing', async () => {
      const { code, stdout } = await compare(...place)
      expect(code).to.equal(0)
      expect(stdout).to.include('The account has nothing of it.\n\n+ AWS::IAM::Role')
      expect(plane.changes).to.deep.equal([])
    })

    it('prints nothing where nothing differs, and otherwise only that, from what to what', async () => {
      await inProcess(['aws', 'apply', ...all, '--yes'])
      plane.authorizers.set('acme-authorizer', { status: 'ACTIVE', signingDisabled: false, tokenSigningPublicKeys: {} })
      expect((await compare(...all)).stdout).to.match(/stack tidemark-acme\nNothing to change\.\n$/)
      plane.asked.length = 0
      const changed = all.map((word) => (word === 'https://sync.example' ? 'https://other.example' : word))
      const { stdout } = await compare(...changed)
      expect(stdout).to.include(
        '~ AWS::Lambda::Function  acme-authorizer  (AuthorizerFunction)\n    Environment.Variables.BROKER_ISSUER: https://sync.example → https://other.example\n',
      )
      expect(stdout).to.match(/\n0 to add, 1 to change, 0 to remove\.\n$/)
      const without = await compare(...place, '--log-days', '7')
      expect(without.stdout).to.include('- AWS::IoT::Authorizer  acme-authorizer  (Authorizer)\n')
      expect(without.stdout).to.include('- AWS::SQS::Queue  acme-ingest  (IngestQueue)\n')
      expect(without.stdout).to.match(/\n0 to add, \d+ to change, \d\d to remove\.\n$/)
      expect(plane.changes).to.deep.equal([])
    })

    it('says what is wrong with credentials, and asks nothing of another account', async () => {
      plane.account = '999999999999'
      const other = await compare(...place)
      expect(other.code).to.equal(1)
      expect(other.stderr).to.match(
        /the credentials are those of account 999999999999 \(\S+\), not of 123456789012\n {2}→ use other credentials/,
      )
      expect(plane.asked).to.deep.equal(['GetCallerIdentity'])
      plane.refusals.push({ action: 'GetCallerIdentity', status: 403, code: 'ExpiredToken', message: 'expired' })
      expect((await compare(...place)).stderr).to.match(
        /STS does not know these credentials: ExpiredToken\w*: expired\n {2}→ the credentials have expired/,
      )
    })

    it('says where AWS cannot be reached', async () => {
      const undo = withEnv({ AWS_ENDPOINT_URL: 'http://127.0.0.1:1' })
      try {
        expect((await compare(...place)).stderr).to.match(/AWS cannot be reached \(ECONNREFUSED\)\n {2}→ /)
      } finally {
        undo()
      }
    })
  })

  it('has a command that prints the template, and one that writes the Terraform module', async () => {
    const { stdout } = await inProcess(['aws', 'template'])
    expect(JSON.parse(stdout)).to.have.nested.property('Resources.ClientRole')
    const folder = join(await tempFolder(), 'module')
    expect((await inProcess(['aws', 'terraform', folder])).code).to.equal(0)
    for (const file of ['main.tf', 'admission.tf', 'authorizer.mjs']) expect(existsSync(join(folder, file)), file).to.equal(true)
    expect(readFileSync(join(folder, 'authorizer.mjs'), 'utf8')).to.match(/export\{\w+ as handler\}/)
    const again = await inProcess(['aws', 'terraform', folder])
    expect([again.code, again.stderr]).to.deep.equal([1, `tidemark: ${folder} is there already\n`])
  })
})

/** Whoever opens a socket, or asks for an address, ends the process. */
const noSockets = `
  import dgram from 'node:dgram'
  import dns from 'node:dns'
  import net from 'node:net'
  const end = () => {
    process.stderr.write('a socket was opened\\n')
    process.exit(1)
  }
  const connect = net.Socket.prototype.connect
  net.Socket.prototype.connect = function (...args) {
    // The loader of TypeScript looks for its parent by a file of this machine.
    if (args.flat()[0]?.path?.includes('tsx')) return connect.apply(this, args)
    return end()
  }
  dns.lookup = end
  dns.promises.lookup = end
  dgram.createSocket = end
`
