/** `tidemark aws apply`, `keys`, `enable`, `disable` and `destroy`, against a control plane that fails where it is told to. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { inProcess, type Run } from '../cli/run.ts'
import { ControlPlane } from '../support/aws/control-plane.ts'
import { account, region } from '../support/aws/sts.ts'
import { tempFolder } from '../support/temp.ts'
import { jwksOf, newKey, placeFlags as place, withEnv } from './support.ts'

describe('tidemark aws', function () {
  this.timeout(120_000)
  const keys = { first: newKey('one'), second: newKey('two') }
  const name = 'tidemark-acme'
  let plane: ControlPlane
  let restore: () => void
  let jwks = ''
  let withAuthorizer: string[] = []

  beforeEach(async () => {
    plane = await ControlPlane.start()
    restore = withEnv(plane.env)
    jwks = join(await tempFolder(), 'jwks.json')
    await writeFile(jwks, jwksOf(keys.first))
    withAuthorizer = [...place, '--jwks', jwks, '--issuer', 'https://sync.example']
  })
  afterEach(async () => {
    restore()
    await plane.close()
  })

  const settingsIn = (text: string): object => JSON.parse(/^\{[\s\S]*^\}$/m.exec(text)?.[0] ?? '') as object
  const byMqtt = (): object => ({
    root: 'acme',
    region,
    account,
    endpoint: plane.endpoint,
    roleArn: `arn:aws:iam::${account}:role/acme-client-${region}`,
    bridgeRoleArn: `arn:aws:iam::${account}:role/acme-bridge-${region}`,
  })
  const queues = {
    ingest: 'sqs',
    queueUrl: `https://sqs.${region}.amazonaws.com/${account}/acme-ingest`,
    deadLetterQueueUrl: `https://sqs.${region}.amazonaws.com/${account}/acme-ingest-dead`,
  }
  const aws = (command: string, ...args: string[]): Promise<Run> => inProcess(['aws', command, ...args])
  const applied = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await aws('apply', ...args, '--yes')
    expect({ code, stderr }, stdout).to.deep.equal({ code: 0, stderr: '' })
    return stdout
  }
  /** With the authorizer that the stack would have made. */
  const made = async (): Promise<void> => {
    await applied(...withAuthorizer)
    plane.authorizers.set('acme-authorizer', { status: 'ACTIVE', signingDisabled: false, tokenSigningPublicKeys: {} })
    plane.asked.length = 0
  }

  describe('apply', () => {
    it('says what it would do, and does nothing without --yes', async () => {
      const { code, stdout, stderr } = await aws('apply', ...place)
      expect(code).to.equal(1)
      expect(stdout).to.include('+ AWS::IAM::Role  acme-client-eu-west-1')
      expect(stderr).to.match(/^tidemark: nothing was done\n {2}→ `tidemark aws apply … --yes` does it\n$/)
      expect(plane.changes).to.deep.equal([])
    })

    it('makes the stack, tells each step, and ends with what the server needs to know', async () => {
      const stdout = await applied(...place)
      expect(stdout).to.match(
        / {2}CREATE_IN_PROGRESS {2,}AWS::CloudFormation::Stack {2}tidemark-acme\n {2}CREATE_COMPLETE {2,}AWS::IAM::Role {2}ClientRole\n/,
      )
      expect(stdout).to.match(/ {2}CREATE_COMPLETE {2,}AWS::CloudFormation::Stack {2}tidemark-acme\n\nDone\. /)
      expect(settingsIn(stdout)).to.deep.equal({ engine: 'aws-iot', awsIot: byMqtt() })
      expect(plane.stack(name)?.tags).to.deep.equal({ 'tidemark:root': 'acme' })
      expect(plane.stack(name)?.parameters).to.include({ Root: 'acme', TokenSigningKey: '', Ingest: 'mqtt' })
    })

    it('ends with settings that the server takes as they are, by MQTT and by a queue', async () => {
      for (const [args, awsIot] of [
        [[], byMqtt()],
        [['--ingest', 'sqs'], { ...byMqtt(), ...queues }],
      ] as const) {
        const settings = settingsIn(await applied(...place, ...args))
        expect(settings).to.deep.equal({ engine: 'aws-iot', awsIot })
        const file = join(await tempFolder(), 'tidemark.json')
        await writeFile(file, JSON.stringify(settings))
        const { code, stdout, stderr } = await inProcess(['check-config', '--config', file])
        expect({ code, stderr }).to.deep.equal({ code: 0, stderr: '' })
        expect(stdout).to.include('engine')
      }
    })

    it('may be run again: nothing changes', async () => {
      await applied(...place)
      const stdout = await applied(...place)
      expect(stdout).to.match(/Nothing to change\.\n\nDone\./)
      expect(plane.changes).to.deep.equal(['CreateStack'])
      expect(plane.stack(name)?.status).to.equal('CREATE_COMPLETE')
    })

    it('after a failure in the middle says which resource failed and why, and goes on when run again', async () => {
      plane.failing.set('ServerPolicy', 'the limit of policies is reached')
      const { code, stdout, stderr } = await aws('apply', ...place, '--yes')
      expect(code).to.equal(1)
      expect(stdout).to.match(/ {2}CREATE_FAILED {2,}AWS::IAM::ManagedPolicy {2}ServerPolicy: the limit of policies is reached\n/)
      expect(stderr).to.match(/^tidemark: the stack ended as ROLLBACK_COMPLETE\n {2}→ the steps above say which resource failed/)
      const again = await applied(...place)
      expect(again).to.match(
        /What is left of an attempt that failed \(ROLLBACK_COMPLETE\) goes first:\n[\s\S]+ DELETE_COMPLETE[\s\S]+ CREATE_COMPLETE/,
      )
      expect(plane.stack(name)?.status).to.equal('CREATE_COMPLETE')
    })

    it('after a change that failed and could not be taken back takes it back first', async () => {
      await applied(...place)
      plane.failing.set('ClientRole', 'somebody deleted it')
      const changed = [...place, '--alarm-topic', `arn:aws:sns:${region}:${account}:pager`]
      expect((await aws('apply', ...changed, '--yes')).stderr).to.include('the stack ended as UPDATE_ROLLBACK_FAILED')
      const again = await applied(...changed)
      expect(again).to.match(/A change that failed is taken back first:\n[\s\S]+ UPDATE_ROLLBACK_COMPLETE /)
      expect(plane.stack(name)?.status).to.be.oneOf(['UPDATE_COMPLETE', 'UPDATE_ROLLBACK_COMPLETE'])
    })

    it('that was ended in the middle follows what AWS goes on with', async () => {
      await applied(...place)
      const stack = plane.stack(name)
      if (!stack) throw new Error('there is no stack')
      stack.status = 'UPDATE_IN_PROGRESS'
      stack.pending = [() => (stack.status = 'UPDATE_COMPLETE')]
      plane.idleLooks = 3
      expect(await applied(...place)).to.match(/^AWS is still at what was begun before \(UPDATE_IN_PROGRESS\):\n/)
    })

    it('leaves a stack alone that it did not make', async () => {
      await applied(...place)
      const stack = plane.stack(name)
      if (!stack) throw new Error('there is no stack')
      stack.tags = {}
      plane.asked.length = 0
      for (const command of ['apply', 'destroy']) {
        const { code, stderr } = await aws(command, ...place, '--yes')
        expect([code, stderr.split('\n')[0]]).to.deep.equal([
          1,
          'tidemark: there is a stack tidemark-acme that this command did not make for acme',
        ])
      }
      expect(plane.changes).to.deep.equal([])
    })

    it('does not enable an authorizer that somebody disabled', async () => {
      await made()
      expect((await aws('disable', ...place)).stdout).to.equal('acme-authorizer is INACTIVE.\n')
      await applied(...withAuthorizer, '--log-days', '7')
      expect(plane.stack(name)?.parameters).to.include({ AuthorizerStatus: 'INACTIVE', LogRetentionDays: '7' })
    })

    it('says what AWS refuses', async () => {
      plane.refusals.push({ action: 'CreateStack', status: 403, code: 'AccessDenied', message: 'not you' })
      const { stderr } = await aws('apply', ...place, '--yes')
      expect(stderr).to.match(/^tidemark: the stack cannot be made: AccessDenied\w*: not you\n {2}→ let these credentials do this/)
    })

    it('is not stopped by AWS throttling it', async () => {
      const throttled = { status: 400, code: 'Throttling', message: 'Rate exceeded' }
      plane.refusals.push({ action: 'DescribeStacks', ...throttled }, { action: 'DescribeStackEvents', ...throttled })
      await applied(...place)
    })
  })

  describe('enable and disable', () => {
    it('change the authorizer at once, and nothing where it is so already', async () => {
      await made()
      const states: (string | undefined)[] = []
      for (const command of ['disable', 'disable', 'enable']) {
        states.push((await aws(command, ...place)).stdout, plane.authorizers.get('acme-authorizer')?.status)
      }
      expect(states).to.deep.equal([
        'acme-authorizer is INACTIVE.\n',
        'INACTIVE',
        'acme-authorizer was INACTIVE already.\n',
        'INACTIVE',
        'acme-authorizer is ACTIVE.\n',
        'ACTIVE',
      ])
      expect(plane.changes).to.deep.equal(['UpdateAuthorizer', 'UpdateAuthorizer'])
    })

    it('say that there is none', async () => {
      expect((await aws('disable', ...place)).stderr).to.match(/^tidemark: there is no authorizer acme-authorizer\n {2}→ make one/)
    })
  })

  describe('keys', () => {
    it('gives authorizer and function the keys of the server, and changes nothing else', async () => {
      await made()
      const before = { ...plane.stack(name)?.parameters }
      await writeFile(jwks, jwksOf(keys.first, keys.second))
      const told = await aws('keys', ...place, '--jwks', jwks)
      expect([told.code, told.stdout]).to.deep.equal([1, '  key one\n+ key two\n'])
      expect(plane.changes).to.deep.equal([])
      const { code, stdout } = await aws('keys', ...place, '--jwks', jwks, '--yes')
      expect(code, stdout).to.equal(0)
      expect(stdout).to.match(/ {2}UPDATE_COMPLETE {2,}AWS::IoT::Authorizer {2}Authorizer\n/)
      const after = plane.stack(name)?.parameters ?? {}
      const pem = keys.second.publicKey.export({ type: 'spki', format: 'pem' })
      expect(after['SecondTokenSigningKey']).to.equal(pem)
      expect((JSON.parse(after['BrokerJwks'] ?? '') as { keys: object[] }).keys).to.have.length(2)
      const rest = ({ BrokerJwks: _jwks, SecondTokenSigningKey: _second, ...others }: Readonly<Record<string, string>>): object => others
      expect(rest(after)).to.deep.equal(rest(before))
      // A change that failed is taken back first.
      plane.failing.set('ClientRole', 'somebody deleted it')
      await aws('apply', ...withAuthorizer, '--log-days', '7', '--yes')
      expect(plane.stack(name)?.status).to.equal('UPDATE_ROLLBACK_FAILED')
      // The old one goes when its last token has ended.
      await writeFile(jwks, jwksOf(keys.second))
      expect((await aws('keys', ...place, '--jwks', jwks, '--yes')).stdout).to.match(/^ {2}key two\n- key one\n/)
      expect(plane.stack(name)?.parameters).to.include({ TokenSigningKey: pem, SecondTokenSigningKey: '' })
    })

    it('says that there is no authorizer', async () => {
      await applied(...place)
      const { stderr } = await aws('keys', ...place, '--jwks', jwks, '--yes')
      expect(stderr).to.match(/^tidemark: there is no authorizer\n {2}→ make one/)
    })
  })

  describe('destroy', () => {
    it('says what goes, and does nothing without --yes', async () => {
      await made()
      const { code, stdout, stderr } = await aws('destroy', ...place)
      expect(code).to.equal(1)
      expect(stdout).to.include('- AWS::IoT::Authorizer  acme-authorizer  (Authorizer)\n')
      expect(stderr).to.include('`tidemark aws destroy … --yes` does it')
      expect(plane.changes).to.deep.equal([])
    })

    it('disables the authorizer, deletes the stack, and may be run again', async () => {
      await made()
      plane.authorizers.set('another', { status: 'ACTIVE', signingDisabled: false, tokenSigningPublicKeys: {} })
      const { code, stdout } = await aws('destroy', ...place, '--yes')
      expect(code, stdout).to.equal(0)
      expect(stdout).to.match(/ {2}INACTIVE {2,}AWS::IoT::Authorizer {2}acme-authorizer\n {2}DELETE_IN_PROGRESS[\s\S]+ DELETE_COMPLETE/)
      expect(plane.changes).to.deep.equal(['UpdateAuthorizer', 'DeleteStack'])
      expect(plane.stack(name)).to.equal(undefined)
      expect(plane.authorizers.get('another')?.status).to.equal('ACTIVE')
      const again = await aws('destroy', ...place, '--yes')
      expect([again.code, again.stdout]).to.deep.equal([
        0,
        `acme in account ${account}, ${region}: stack tidemark-acme\nThere is nothing of it.\n`,
      ])
    })

    it('says what is in the way, and ends when run again', async () => {
      await applied(...place, '--ingest', 'sqs')
      plane.failing.set('ServerPolicy', 'it is attached to a role')
      const { code, stdout, stderr } = await aws('destroy', ...place, '--yes')
      expect(code).to.equal(1)
      expect(stdout).to.include('What is still in the queues is lost.\n')
      expect(stdout).to.match(/ {2}DELETE_FAILED {2,}AWS::IAM::ManagedPolicy {2}ServerPolicy: it is attached to a role\n/)
      expect(stderr).to.include('the stack ended as DELETE_FAILED')
      expect((await aws('apply', ...place, '--yes')).stderr).to.match(/the stack was half destroyed\n {2}→ destroy it/)
      expect((await aws('destroy', ...place, '--yes')).code).to.equal(0)
      expect(plane.stack(name)).to.equal(undefined)
    })
  })
})
