import { expect } from 'chai'
import mqtt from 'mqtt'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { startServer } from '../../cli/server.ts'
import { SyncError } from '../../protocol/errors.ts'
import { childServer, freePorts, testServer, type ChildExit, type ChildServer } from '../support/server.ts'
import { need } from '../support/skipping.ts'
import { tempFolder } from '../support/temp.ts'
import { rawPublisher } from './raw-publisher.ts'
import { tidemark } from './run.ts'

const run = promisify(execFile)

interface Page {
  readonly entries: readonly { readonly text?: string }[]
  readonly next: string
  readonly upToDate: boolean
}

describe('tidemark serve', function () {
  this.timeout(60_000)
  const children: ChildServer[] = []
  afterEach(() => Promise.all(children.splice(0).map((child) => child.kill('SIGKILL'))))

  async function serve(options: Parameters<typeof childServer>[0] = {}): Promise<ChildServer> {
    const child = await childServer(options)
    children.push(child)
    return child
  }

  it('tells addresses, development mode and, last, one ready line', async () => {
    const child = await serve()
    const { mqtt: mqttPort, http } = child.ports
    const lines = child.stdout.trimEnd().split('\n')
    expect(lines.at(-1)).to.equal(`tidemark ready mqtt=127.0.0.1:${mqttPort} ws=127.0.0.1:${http}/mqtt http=127.0.0.1:${http}`)
    expect(child.stdout).to.include('Development mode').and.include(child.urls.mqtt).and.include(child.urls.ws).and.include(child.urls.http)
    for (const line of child.stderr.trimEnd().split('\n')) expect(JSON.parse(line)).to.include.keys('level', 'time', 'msg')
    expect((await fetch(`${child.urls.http}/readyz`)).status).to.equal(200)
  })

  it('takes free ports for 0 and says which', async () => {
    const { ports } = await serve({ settings: { mqttPort: 0, httpPort: 0, store: 'memory:' } })
    expect(ports.mqtt).to.be.greaterThan(0)
    expect(ports.http).to.be.greaterThan(0).and.not.equal(ports.mqtt)
  })

  it('prints lines to copy that work as they stand', async function () {
    need(this, 'mosquitto_sub', 'apt-get install mosquitto-clients')
    need(this, 'curl', 'apt-get install curl')
    const child = await serve()
    const lines = [...child.stdout.matchAll(/^ {2}((?:TOKEN|mosquitto|curl).*)$/gm)].map(([, line]) => line as string)
    expect(lines).to.have.length(5)
    const [token, phone, pub, curl, sync] = lines as [string, string, string, string, string]
    // The phone appears, leaves, and finds on its return what was published meanwhile.
    const oneMessage = (line: string): string => line.replace('mosquitto_sub', 'mosquitto_sub -W 20 -C 1')
    const away = phone.replace('mosquitto_sub', 'mosquitto_sub -E')
    const script = [
      token,
      away,
      pub,
      oneMessage(phone),
      curl.replace('curl', 'curl -s'),
      sync.replace('mosquitto_sub', 'mosquitto_sub -W 20 -C 2'),
    ]
    const { stdout } = await run('bash', ['-euc', script.join('\n')], { cwd: new URL('../..', import.meta.url).pathname })
    const shown = stdout.split('\n')
    expect(shown[0]).to.equal('users/alice/notes/1 hello')
    expect(stdout).to.match(/"entries":\[\{"pos":"[\w-]{8}\.1\.[\w-]{4}"/)
    expect(stdout).to.match(/^sync@earliest\/users\/alice\/notes\/1 \{"pos"/m)
  })

  it('says in one sentence which port is in use, and ends with 1', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as AddressInfo
    const free = String((await freePorts(1))[0])
    const cwd = await tempFolder()
    const [forMqtt, forHttp] = await Promise.all([
      tidemark(['serve', '--data', 'a', '--mqtt-port', String(port), '--http-port', free, '--log-level', 'error'], { cwd }),
      tidemark(['serve', '--data', 'b', '--http-port', String(port), '--mqtt-port', '0', '--log-level', 'error'], { cwd }),
    ])
    taken.close()
    expect(forMqtt.stderr).to.match(new RegExp(`^tidemark: port ${port} on 127.0.0.1 is in use; .* --mqtt-port .*\n$`))
    expect(forHttp.stderr).to.match(new RegExp(`^tidemark: port ${port} on 127.0.0.1 is in use; .* --http-port .*\n$`))
    expect([forMqtt.code, forHttp.code]).to.deep.equal([1, 1])
  })

  it('says in one sentence that the data folder cannot be used, why, and what to do', async () => {
    const cwd = await tempFolder()
    await writeFile(join(cwd, 'file'), '')
    for (const data of ['file', 'file/below']) {
      const { code, stdout, stderr } = await tidemark(
        ['serve', '--data', data, '--mqtt-port', '0', '--http-port', '0', '--log-level', 'error'],
        { cwd },
      )
      expect(stderr).to.match(new RegExp(`^tidemark: the data folder ${data} cannot be used: there is a file of that name; .* --data\n$`))
      expect({ code, stdout }).to.deep.equal({ code: 1, stdout: '' })
    }
  })

  it('refuses a second process on the same data folder in one sentence, and the first goes on', async () => {
    const child = await serve()
    const args = ['serve', '--data', child.folder, '--mqtt-port', '0', '--http-port', '0', '--log-level', 'error']
    const { code, stdout, stderr } = await tidemark(args)
    expect(stderr).to.match(/^tidemark: .*in use by another process.*\n$/)
    expect(stderr).to.include(child.folder)
    expect({ code, stdout }).to.deep.equal({ code: 1, stdout: '' })
    expect((await fetch(`${child.urls.http}/readyz`)).status).to.equal(200)
  })

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`ends with 0 on ${signal}, and what was acknowledged or under way is kept once`, async () => {
      const child = await serve()
      const token = await child.token('alice')
      let exit: Promise<ChildExit> | undefined
      const acknowledged = await rawPublisher({
        port: child.ports.mqtt,
        token,
        topic: 'users/alice/n',
        onAcknowledged: (count) => void (count === 200 && (exit = child.kill(signal))),
      })
      expect(await exit).to.deep.equal({ code: 0, signal: null })
      expect(child.stderr).to.include('"msg":"stopped"')
      await child.start()
      const kept = await history(child, token)
      expect(acknowledged.length).to.be.at.least(200)
      expect(kept.slice(0, acknowledged.length), 'what was acknowledged, in order').to.deep.equal(acknowledged)
      // [P-8.15]
      expect(kept.length, 'what was appended was acknowledged').to.equal(acknowledged.length)
    })
  }

  it('takes a signal that comes twice at once for one, and ends at once with 1 on a later one', async () => {
    // A part that never stops keeps the graceful stop waiting.
    const child = await serve({ env: { NODE_OPTIONS: await hook(neverClosing) } })
    process.kill(child.pid, 'SIGTERM')
    while (!child.stderr.includes('"msg":"stopping"')) await new Promise((resolve) => void setImmediate(resolve))
    // The second one follows at once, as it does through npm; later ones come until the process is gone.
    process.kill(child.pid, 'SIGTERM')
    const impatience = setInterval(() => process.kill(child.pid, 'SIGTERM'), 200)
    expect(await child.kill('SIGTERM')).to.deep.equal({ code: 1, signal: null })
    clearInterval(impatience)
    expect(child.stderr).to.include('while stopping: ending at once')
  })

  it('ends with 1 when a part does not stop in its time', async () => {
    const child = await serve({ settings: { limits: { stopTimeoutMs: 50 } }, env: { NODE_OPTIONS: await hook(neverClosing) } })
    expect(await child.kill('SIGTERM')).to.deep.equal({ code: 1, signal: null })
    expect(child.stderr).to.include('stopping the bridge took longer than 50 ms')
  })

  it('logs an uncaught error and ends with 1', async () => {
    const child = await serve({
      env: { NODE_OPTIONS: await hook(`process.once('SIGUSR1', () => { throw new Error('out of the blue') })`) },
    })
    expect(await child.kill('SIGUSR1')).to.deep.equal({ code: 1, signal: null })
    expect(child.stderr).to.include('out of the blue')
  })

  it('goes on after SIGKILL with all that was acknowledged', async () => {
    const child = await serve()
    const token = await child.token('alice')
    const client = await mqtt.connectAsync(child.urls.mqtt, { username: 'alice', password: token, reconnectPeriod: 0 })
    client.on('error', () => {})
    const text = randomBytes(8).toString('hex')
    await client.publishAsync('users/alice/n', text, { qos: 1 })
    expect(await child.kill('SIGKILL')).to.deep.equal({ code: null, signal: 'SIGKILL' })
    await child.start()
    expect(await history(child, token)).to.deep.equal([text])
    await client.endAsync(true)
  })
})

describe('a server in this process', () => {
  it('starts on memory, stops, and starts again with the same data and ports', async () => {
    const server = await testServer()
    const { ports } = server
    const token = await server.token('alice')
    const client = await mqtt.connectAsync(server.urls.ws, { username: 'alice', password: token })
    await client.publishAsync('users/alice/n', 'x', { qos: 1 })
    await client.endAsync()
    await server.restart({ open: true })
    expect(server.ports).to.deep.equal(ports)
    expect(server.running.config.open).to.equal(true)
    expect(await history(server, token)).to.deep.equal(['x'])
    await server.stop()
    await server.stop()
  })

  it('closes WebSocket clients at a stop, and lets go of its ports', async () => {
    const server = await testServer()
    const client = await mqtt.connectAsync(server.urls.ws, { username: 'a', password: await server.token('a'), reconnectPeriod: 0 })
    client.on('error', () => {})
    const closed = new Promise<void>((resolve) => void client.once('close', () => resolve()))
    await server.stop()
    await closed
    const again = await testServer({ settings: { mqttPort: server.ports.mqtt, httpPort: server.ports.http } })
    await again.stop()
    await client.endAsync(true)
  })

  it('stops what it had started where a later step fails', async () => {
    const folder = await tempFolder()
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as AddressInfo
    const settings = { data: folder, mqttPort: 0, httpPort: port }
    const error = await startServer(settings).then(
      () => undefined,
      (refusal: unknown) => refusal,
    )
    expect(error).to.be.instanceOf(SyncError)
    expect((error as SyncError).message).to.include(`port ${port}`)
    taken.close()
    // The store is free again.
    const server = await startServer({ ...settings, httpPort: 0 })
    await server.stop()
  })

  it('tells clients its real addresses though the ports were 0', async () => {
    const server = await startServer({ data: await tempFolder(), store: 'memory:', mqttPort: 0, httpPort: 0 })
    const { mqttUrl, httpUrl, ports } = server.addresses
    expect(mqttUrl).to.equal(`mqtt://127.0.0.1:${ports.mqtt}`)
    expect((await fetch(`${httpUrl}/healthz`)).status).to.equal(200)
    await server.stop()
  })
})

const neverClosing = `import { Server } from 'node:http'\nServer.prototype.close = () => {}`

/** Node's options that run this code before the program. */
async function hook(code: string): Promise<string> {
  const path = join(await tempFolder(), 'hook.mjs')
  await writeFile(path, code)
  return `--import ${path}`
}

async function history({ urls }: { urls: { http: string } }, token: string): Promise<string[]> {
  const texts: string[] = []
  let after: string | undefined
  for (;;) {
    const query = after === undefined ? '' : `&after=${after}`
    const response = await fetch(`${urls.http}/v1/streams/users/alice/entries?limit=1000${query}`, {
      headers: { authorization: `Bearer ${token}` },
    })
    const page = (await response.json()) as Page
    texts.push(...page.entries.map(({ text }) => text ?? ''))
    if (page.upToDate) return texts
    after = page.next
  }
}
