import { expect } from 'chai'
import { decodeJwt } from 'jose'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sourceProgram } from '../support/program.ts'
import { tempFolder } from '../support/temp.ts'
import { inProcess, tidemark } from './run.ts'

const fromSources = { command: [process.execPath, sourceProgram] }

describe('the command line', function () {
  this.timeout(60_000)

  it('explains itself and every command', async () => {
    const { code, stdout } = await tidemark(['--help'], fromSources)
    expect(code).to.equal(0)
    const commands = [...stdout.matchAll(/^ {2}([a-z][a-z-]+) {2,}/gm)].map(([, name]) => name as string).filter((name) => name !== 'help')
    expect(commands).to.include.members([
      'serve',
      'token',
      'pub',
      'sub',
      'history',
      'state',
      'trim',
      'verify',
      'backup',
      'restore',
      'copy',
      'unseal',
      'check-config',
      'doctor',
      'conformance',
      'bench',
    ])
    for (const name of commands) {
      const help = await inProcess([name, '--help'])
      expect(help).to.include({ code: 0, stderr: '' })
      expect(help.stdout).to.include(`tidemark ${name} [options]`)
    }
  })

  it('shows flag, default and variable of a setting in the help of serve', async () => {
    const { stdout } = await inProcess(['help', 'serve'])
    const text = stdout.replaceAll(/\s+/g, ' ')
    expect(text).to.include('--mqtt-port <PORT> MQTT over TCP; 0 takes a free port (default 1883; TIDEMARK_MQTT_PORT)')
    expect(text).to.include('--limit <NAME=VALUE>')
  })

  it('tells its version', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
    expect((await tidemark(['--version'], fromSources)).stdout).to.equal(`${version}\n`)
  })

  const misused: readonly [string, readonly string[], RegExp][] = [
    ['an unknown command', ['sreve'], /unknown command 'sreve'/],
    ['an unknown flag', ['serve', '--mqt-port', '1'], /unknown option '--mqt-port'.*--mqtt-port/s],
    ['a missing argument', ['token'], /missing required argument/],
    ['a time without unit', ['token', 'alice', '--ttl', '60'], /--ttl 60: write it like 90s/],
    ['a space without level', ['token', 'alice', '--space', 'b'], /--space b: write it as ID=read/],
    ['a limit without value', ['check-config', '--limit', 'inflightMax'], /--limit inflightMax: write it as NAME=VALUE/],
    ['two payloads', ['pub', 'users/a/b', '-m', 'x', '--json', '1'], /give one of/],
    ['no payload', ['pub', 'users/a/b'], /give a payload/],
    ['a condition without retain', ['pub', 'users/a/b', '-m', 'x', '--if', 'none'], /--if needs --retain/],
    ['a bad place', ['sub', 'users/a/#', '--from', 'yesterday'], /--from yesterday: write now, earliest, snapshot or a position/],
    ['a bad URL', ['history', 'users/a', '--url', 'mqtt://x'], /--url mqtt:\/\/x is no http URL/],
  ]
  for (const [what, args, sentence] of misused) {
    it(`ends with 2 and a sentence for ${what}`, async () => {
      const { code, stdout, stderr } = await inProcess(args)
      expect(stderr).to.match(sentence)
      expect(stderr).to.not.match(/^\s+at /m)
      expect({ code, stdout }).to.deep.equal({ code: 2, stdout: '' })
    })
  }

  it('takes a position that begins with a hyphen for a position: stores have made such', async () => {
    const { code, stdout, stderr } = await inProcess([
      'history',
      'users/a',
      '--after',
      '-V0rxHhh.2.yI2A',
      '--url',
      'http://127.0.0.1:1',
      '--token',
      'x',
    ])
    expect({ code, stdout }, stderr).to.deep.equal({ code: 1, stdout: '' })
    expect(stderr).to.include('127.0.0.1:1')
  })

  it('ends with 1 and one sentence for a configuration that cannot work', async () => {
    for (const command of ['serve', 'check-config']) {
      const { code, stdout, stderr } = await inProcess([command, '--host', '0.0.0.0'])
      expect(stderr).to.match(/^tidemark: host \(--host\): "0\.0\.0\.0" can be reached .*\n$/)
      expect({ code, stdout }).to.deep.equal({ code: 1, stdout: '' })
    }
  })

  it('prints the resolved configuration with sources', async () => {
    const { code, stdout } = await tidemark(['check-config', '--no-open', '--limit', 'inflightMax=7'], { env: { TIDEMARK_OPEN: 'true' } })
    expect(code).to.equal(0)
    expect(stdout).to.include('open = false  # --open\n').and.include('limits.inflightMax = 7  # --limit inflightMax\n')
  })
})

describe('tidemark token', function () {
  this.timeout(60_000)

  it('prints the token alone, and makes the key if it comes first', async () => {
    const cwd = await tempFolder()
    const first = await tidemark(['token', 'alice'], { cwd })
    expect(first).to.include({ code: 0, stderr: '' })
    expect(first.stdout).to.match(/^[\w-]+\.[\w-]+\.[\w-]+\n$/)
    const { sub, exp = 0, iat = 0, aud } = decodeJwt(first.stdout.trim())
    expect({ sub, aud, lifeS: exp - iat }).to.deep.equal({ sub: 'alice', aud: 'tidemark', lifeS: 3_600 })
    expect(readdirSync(join(cwd, 'data'))).to.deep.equal(['dev-key'])
    expect(statSync(join(cwd, 'data', 'dev-key')).mode & 0o777).to.equal(0o600)
    const key = readFileSync(join(cwd, 'data', 'dev-key'), 'utf8')
    await tidemark(['token', 'bob'], { cwd })
    expect(readFileSync(join(cwd, 'data', 'dev-key'), 'utf8')).to.equal(key)
  })

  it('takes spaces, grants, tap and a time to live', async () => {
    const cwd = await tempFolder()
    const args = ['--space', 'a=read', '--space', 'b=own', '--grant', 'ops:revoke', '--grant', 'publish:spaces/c/#', '--tap', '--ttl', '2m']
    const { stdout } = await tidemark(['token', 'alice', ...args, '--data', 'd'], { cwd })
    const { spaces, grants, exp = 0, iat = 0 } = decodeJwt(stdout.trim())
    expect({ spaces, grants, lifeS: exp - iat }).to.deep.equal({
      spaces: { a: 'read', b: 'own' },
      grants: ['ops:revoke', 'publish:spaces/c/#', 'tap'],
      lifeS: 120,
    })
    expect(readdirSync(cwd)).to.deep.equal(['d'])
  })

  it('refuses with a sentence where issuers are configured, and for what no server would accept', async () => {
    const cwd = await tempFolder()
    const issuers = [{ issuer: 'https://id.example', algorithms: ['HS256'], secret: 'a secret that is long enough for HS256' }]
    writeFileSync(join(cwd, 'tidemark.json'), JSON.stringify({ issuers }))
    const refusals = []
    for (const args of [
      ['alice', '--config', join(cwd, 'tidemark.json')],
      ['alice', '--grant', 'fly:users/alice'],
      ['alice', '--space', 'a b=read'],
      ['alice', '--ttl', '2d'],
      [''],
    ]) {
      refusals.push(await inProcess(['token', '--data', cwd, ...args]))
    }
    expect(refusals.map(({ stderr }) => stderr).join('')).to.match(
      /^tidemark: development tokens are refused .* https:\/\/id\.example\ntidemark: .*fly.*\ntidemark: .*a b.*\ntidemark: .*24 h\ntidemark: .*name.*\n$/,
    )
    for (const { code, stdout } of refusals) expect({ code, stdout }).to.deep.equal({ code: 1, stdout: '' })
  })

  it('does not load the broker, nor the store', async () => {
    const cwd = await tempFolder()
    const loaded = join(cwd, 'loaded')
    writeFileSync(
      join(cwd, 'hooks.mjs'),
      `import { appendFileSync } from 'node:fs'
      export function load(url, context, next) {
        appendFileSync(${JSON.stringify(loaded)}, url + '\\n')
        return next(url, context)
      }`,
    )
    writeFileSync(join(cwd, 'register.mjs'), `import { register } from 'node:module'\nregister('./hooks.mjs', import.meta.url)`)
    const { code } = await tidemark(['token', 'alice'], {
      ...fromSources,
      cwd,
      env: { NODE_OPTIONS: `--import ${join(cwd, 'register.mjs')}` },
    })
    expect(code).to.equal(0)
    const urls = readFileSync(loaded, 'utf8')
    expect(urls).to.include('/cli/commands/token.ts').and.include('/node_modules/commander/')
    expect(urls).to.not.match(/\/(broker|bridge|log)\/|aedes|classic-level|fastify|node_modules\/mqtt/)
  })
})
