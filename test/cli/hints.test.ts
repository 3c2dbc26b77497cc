/** A server with `hints`: what the operator sees while Redis is there and while it is not. */
import { expect } from 'chai'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { promisify } from 'node:util'
import { createLogger } from '../../cli/logger.ts'
import { MemoryStore } from '../../log/stores/memory.ts'
import { destroyRawClients, RawClient } from '../support/raw-mqtt.ts'
import { anyRedis, redisProcess, type RedisProcess } from '../support/redis.ts'
import { freePorts, testServer, type TestServer } from '../support/server.ts'
import { root } from '../support/source-files.ts'
import { tempFolder } from '../support/temp.ts'
import { Inbox } from '../support/waiting.ts'

interface Line {
  readonly level: number
  readonly msg: string
}

function linesOf(): { readonly lines: Inbox<Line>; readonly logger: ReturnType<typeof createLogger> } {
  const lines = new Inbox<Line>()
  return { lines, logger: createLogger('debug', { write: (line) => lines.add(JSON.parse(line) as Line) }) }
}

describe('a server with hints over Redis', () => {
  let server: TestServer | undefined
  let redis: RedisProcess | undefined
  afterEach(async () => {
    await server?.stop()
    await redis?.stop()
    server = redis = undefined
  })

  async function seen({ urls }: TestServer): Promise<{ status: number; hints: unknown; connected: string | undefined }> {
    const ready = await fetch(`${urls.http}/readyz`)
    const { checks } = (await ready.json()) as { checks: { name: string }[] }
    const metrics = await (await fetch(`${urls.http}/metrics`)).text()
    const connected = /^tidemark_hints_connected (\d)$/m.exec(metrics)?.[1]
    return { status: ready.status, hints: checks.find(({ name }) => name === 'hints'), connected }
  }

  it('[P-11.9] [P-11.10] is ready with it and without it, says in which state it is, and logs no password', async function () {
    redis = await redisProcess(this, ['--requirepass', 'hush'])
    const { lines, logger } = linesOf()
    const hints = redis.url.replace('//', '//:hush@')
    server = await testServer({ settings: { hints }, overrides: { logger, store: new MemoryStore({ shared: true }) } })
    const cameUp = (): Promise<Line> => lines.take(({ msg }) => msg === 'hints come and go over Redis', 'the connection to Redis')
    await cameUp()
    const well = { status: 200, hints: { name: 'hints', ready: true, detail: 'hints come and go over Redis' }, connected: '1' }
    expect(await seen(server)).to.deep.equal(well)
    await redis.stop()
    await lines.take(({ msg }) => msg.startsWith('no hints over Redis'), 'the word that Redis is away')
    const detail = 'Redis cannot be reached: what other nodes append is seen by polling'
    expect(await seen(server)).to.deep.equal({ status: 200, hints: { name: 'hints', ready: true, degraded: true, detail }, connected: '0' })
    await redis.start()
    await cameUp()
    expect(await seen(server)).to.deep.equal(well)
    await server.stop()
    expect(JSON.stringify(lines.all)).to.not.include('hush')
  })

  it('starts and stops at once where Redis never answers', async () => {
    const dead = createServer().listen(0, '127.0.0.1')
    await once(dead, 'listening')
    const { port } = dead.address() as { port: number }
    const settings = { hints: `redis://127.0.0.1:${port}`, limits: { hintsCheckMs: 600_000 } }
    server = await testServer({ settings, overrides: { store: new MemoryStore({ shared: true }) } })
    expect((await seen(server)).connected).to.equal('0')
    await server.stop()
    dead.close()
  })

  it('[P-4.11] hears at once what another one over the same store appends', async function () {
    const shared = await anyRedis(this)
    const store = new MemoryStore({ shared: true })
    const folder = await tempFolder()
    // Nothing else would bring it in time.
    const settings = { hints: shared.url, hintsPrefix: `test-${process.pid}-cli`, limits: { headPollMs: 3_600_000 } }
    const open = async (): Promise<TestServer> => {
      const { lines, logger } = linesOf()
      const one = await testServer({ folder, settings, overrides: { logger, store } })
      await lines.take(({ msg }) => msg === 'hints come and go over Redis', 'the connection to Redis')
      return one
    }
    const [a, b] = [await open(), await open()]
    try {
      const reader = await RawClient.open(b.ports.mqtt)
      const password = await b.token('alice')
      await reader.connect({ clientId: 'reader', password })
      await reader.subscribe('users/alice/#')
      const init = { method: 'POST', headers: { authorization: `Bearer ${password}`, 'content-type': 'application/json' } }
      const response = await fetch(`${a.urls.http}/v1/streams/users/alice/entries`, { ...init, body: '{"topic":"notes/1","text":"hello"}' })
      expect(response.status).to.equal(201)
      expect((await reader.message()).text).to.equal('hello')
    } finally {
      destroyRawClients()
      await Promise.all([a.stop(), b.stop()])
      await shared.stop()
    }
  })
})

describe('a server without hints', () => {
  it('says at the start how nodes meet, where others may serve its store', async () => {
    const { lines, logger } = linesOf()
    const server = await testServer({ overrides: { logger, store: new MemoryStore({ shared: true }) } })
    await server.stop()
    const said = lines.all.filter(({ msg }) => msg.includes('no hints are configured'))
    expect(said).to.have.length(1)
    expect(said[0]).to.include({ level: 40, headPollMs: 2_000 })
  })

  it('says nothing of them where the store is for one node alone; with them it says that nobody will hear', async () => {
    const { lines, logger } = linesOf()
    const server = await testServer({ overrides: { logger } })
    const [port] = (await freePorts(1)) as [number]
    await server.restart({ hints: `redis://127.0.0.1:${port}` })
    await server.stop()
    expect(lines.all.filter(({ level, msg }) => level === 40 && msg.includes('hints are configured')).map(({ msg }) => msg)).to.deep.equal([
      'hints are configured, and the store is for one node alone: nobody will hear them',
    ])
  })

  it('does not load the client library', async () => {
    const program = `
      import { createRequire } from 'node:module'
      const { cache } = createRequire(import.meta.url)
      const loaded = () => Object.keys(cache).some((path) => path.includes('/ioredis/'))
      const { startServer } = await import('./cli/server.ts')
      const { tempFolder } = await import('./test/support/temp.ts')
      const data = await tempFolder()
      const found = []
      for (const more of [{}, { hints: 'redis://127.0.0.1:1' }]) {
        const server = await startServer({ data, mqttPort: 0, httpPort: 0, store: 'memory:', ...more })
        await server.stop()
        found.push(loaded())
      }
      console.log(JSON.stringify(found))`
    const args = ['--import', 'tsx', '--input-type=module', '--eval', program]
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root })
    expect(JSON.parse(stdout)).to.deep.equal([false, true])
  })
})
