/** What docker/ and charts/ promise, as far as it can be tried without a docker daemon and without a cluster. */
import { Ajv } from 'ajv'
import { expect } from 'chai'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { parse } from 'yaml'
import { defaultLimits } from '../../seams/limits.ts'
import { cleanEnvironment } from '../support/server.ts'
import { need, skipLoudly } from '../support/skipping.ts'
import { within } from '../support/waiting.ts'
import { buildFrom } from './dockerfile.ts'

const run = promisify(execFile)
const checkout = new URL('../..', import.meta.url).pathname

describe('docker/', function () {
  this.timeout(600_000)

  it('Dockerfile makes an image that serves without privileges, tells its health, and stops in order', async () => {
    const image = await buildFrom(join(checkout, 'docker/Dockerfile'), checkout)
    expect(image.user).to.equal('node')
    const [, ...args] = image.command
    const env = {
      ...cleanEnvironment(),
      ...image.env,
      TIDEMARK_DATA: join(image.root, 'data'),
      TIDEMARK_MQTT_PORT: '0',
      TIDEMARK_HTTP_PORT: '0',
      TIDEMARK_ISSUERS: JSON.stringify([{ issuer: 'https://app.example.org', algorithms: ['HS256'], secret: 's'.repeat(32) }]),
    }
    const cwd = join(image.root, image.workdir)
    const server = spawn(process.execPath, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    try {
      let output = ''
      const ready = new Promise<string>((resolve, reject) => {
        server.stdout.on('data', (chunk: Buffer) => {
          output += chunk.toString()
          const [, url] = /(http:\/\/\S+:\d+)/.exec(output) ?? []
          if (url !== undefined && /^tidemark ready/m.test(output)) resolve(url)
        })
        server.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
        server.once('exit', (code) => reject(new Error(`the server ended with ${code}: ${output}`)))
      })
      const port = new URL(await within(ready, 'the server to be ready', 60_000)).port
      const [, ...check] = image.healthcheck.map((word) => word.replace('8080', port))
      await run(process.execPath, check, { cwd, env })
      const { stdout: token } = await run(process.execPath, ['docker/sign.mjs', 'alice', 'board=own'], { cwd, env })
      const headers = { authorization: `Bearer ${token.trim()}`, 'content-type': 'application/json' }
      const body = JSON.stringify({ topic: 'x', text: 'hello' })
      const posted = await fetch(`http://127.0.0.1:${port}/v1/streams/spaces/board/entries`, { method: 'POST', headers, body })
      expect(posted.status).to.equal(201)
      const ended = once(server, 'exit')
      server.kill('SIGTERM')
      expect(await within(ended, 'the server to stop', 60_000)).to.deep.equal([0, null])
      await run(process.execPath, check, { cwd, env }).then(
        () => expect.fail('the health check passes without a server'),
        (error: { code: unknown }) => expect(error.code).to.equal(1),
      )
    } finally {
      server.kill('SIGKILL')
      await rm(image.root, { recursive: true, force: true })
    }
  })

  it('compose.yaml keeps to the Compose Specification, and its settings are ours', async function () {
    const program = toolPath(this, 'compose-config')
    const file = join(checkout, 'docker/compose.yaml')
    const { stdout } = await run(program, [file], { env: { ...process.env, TIDEMARK_SECRET: 's'.repeat(32) } })
    expect(stdout).to.include('replicaSet=rs0')
    const settings = [...readFileSync(file, 'utf8').matchAll(/^ +(TIDEMARK_\w+):/gm)].map(([, name]) => name)
    const documented = readFileSync(join(checkout, 'docs/CONFIGURATION.md'), 'utf8')
    expect(settings.filter((name) => !documented.includes(`\`${name}\``))).to.deep.equal([])
    expect(settings).to.include('TIDEMARK_STORE')
    const refused = await run(program, [file], { env: { PATH: process.env['PATH'] } }).catch((error: { stderr: string }) => error)
    expect(refused.stderr).to.include('TIDEMARK_SECRET')
  })

  it('haproxy.cfg is understood by HAProxy', async function () {
    need(this, 'haproxy', 'apt-get install haproxy')
    const { stdout } = await run('haproxy', ['-c', '-f', join(checkout, 'docker/haproxy.cfg')])
    expect(stdout).to.include('Configuration file is valid')
  })
})

describe('charts/tidemark', () => {
  const chart = join(checkout, 'charts/tidemark')
  const valuesText = readFileSync(join(chart, 'values.yaml'), 'utf8')
  const values = parse(valuesText) as Record<string, unknown>
  const isValid = new Ajv({ strict: false }).compile(JSON.parse(readFileSync(join(chart, 'values.schema.json'), 'utf8')) as object)
  const templates = readdirSync(join(chart, 'templates')).map((name) => readFileSync(join(chart, 'templates', name), 'utf8'))

  it('has values that keep to its schema, which refuses those that cannot be meant', () => {
    expect(isValid(values), JSON.stringify(isValid.errors)).to.equal(true)
    for (const wrong of [
      { replicas: 'none' },
      { replica: 3 },
      { env: { PATH: '/' } },
      { terminationGracePeriodSeconds: 5 },
      { publicHttpUrl: 'sync' },
    ])
      expect(isValid({ ...values, ...wrong }), JSON.stringify(wrong)).to.equal(false)
  })

  it('uses no value that it does not have, and has none that it does not use', () => {
    const used = new Set(templates.flatMap((text) => [...text.matchAll(/\.Values\.([\w.]+)/g)].map(([, path = '']) => path)))
    expect(used.size).to.be.above(15)
    for (const path of used) {
      const found = path.split('.').reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[name], values)
      expect(found, path).not.to.equal(undefined)
    }
    const tops = new Set([...used].map((path) => path.split('.')[0]))
    expect(Object.keys(values).filter((name) => !tops.has(name))).to.deep.equal([])
  })

  it('gives a node longer to stop than it takes at most', () => {
    expect(Number(values['terminationGracePeriodSeconds']) * 1_000).to.be.at.least(
      defaultLimits.stopTimeoutMs + Number(values['preStopSeconds']) * 1_000,
    )
  })
})

/** A program that test/servers/build-tool.sh has built; without it the test is skipped, loudly. */
function toolPath(context: Mocha.Context, name: string): string {
  const folder = join(checkout, 'test/servers', name)
  const versions = createHash('sha256')
    .update(readFileSync(join(folder, 'go.mod')))
    .update(readFileSync(join(folder, 'go.sum')))
    .digest('hex')
    .slice(0, 12)
  const path = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'tidemark-ci', `${name}-${versions}`, name)
  if (!existsSync(path)) skipLoudly(context, `${name} is missing here (run test/servers/build-tool.sh ${name})`)
  return path
}
