/** Health, readiness, metrics, the description, the front page, and the end. */
import { expect } from 'chai'
import { request } from 'node:http'
import { append, ask, askRaw, makeWorld, speak, type World } from './support.ts'

describe('bridge: operations', () => {
  let world: World
  beforeEach(async () => void (world = await makeWorld({ openEnabled: true })))
  afterEach(() => world.close())

  it('/healthz is 200 while the process lives, the store down or not [P-11.8]', async () => {
    expect((await ask(world, '/healthz')).body).to.deep.equal({ status: 'ok' })
    world.readiness.push({ name: 'store', ready: false, detail: 'gone' })
    expect((await ask(world, '/healthz')).status).to.equal(200)
  })

  it('/readyz is 200 with its checks, else 503 with the code of what fails [P-11.9]', async () => {
    world.readiness.push({ name: 'store', ready: true, detail: 'takes writes' })
    expect((await ask(world, '/readyz')).body).to.deep.equal({ ready: true, checks: world.readiness })
    world.readiness[1] = { name: 'hints', ready: true, degraded: true, detail: 'gone' }
    expect((await ask(world, '/readyz')).body).to.deep.equal({ ready: true, checks: world.readiness })
    for (const [name, code] of [
      ['store', 'store-unavailable'],
      ['clock-skew', 'clock-skew'],
      ['stopping', 'stopping'],
      ['unauthorized', 'store-unavailable'],
      ['toString', 'store-unavailable'],
    ] as const) {
      world.readiness[1] = { name, ready: false, detail: 'not now' }
      const { status, body, headers } = await ask(world, '/readyz')
      expect([status, body['code'], headers.get('retry-after')], name).to.deep.equal([503, code, '1'])
      expect(body['detail']).to.equal(`${name}: not now`)
    }
    world.readiness.length = 0
    await world.log.close()
    expect((await ask(world, '/readyz')).body['code']).to.equal('stopping')
  })

  it('/metrics is for loopback peers, or for the grant ops:metrics where a proxy speaks for others [P-11.10]', async () => {
    expect((await ask(world, '/metrics')).status).to.equal(200)
    for (const via of ['forwarded', 'x-forwarded-for', 'via']) {
      const status = async (headers: Record<string, string>): Promise<number> =>
        (await askRaw(world, '/metrics', { [via]: '203.0.113.9', ...headers })).status
      expect(await status({})).to.equal(401)
      expect(await status({ authorization: 'Bearer alice' })).to.equal(403)
      expect(await status({ authorization: 'Bearer ops' })).to.equal(200)
    }
  })

  it('metrics have Prometheus names in base units, and no label that could name a user [P-11.10]', async () => {
    await append(world, 'users/alice', [{ topic: 'users/alice/secret-topic' }])
    await ask(world, '/v1/streams/users/bob/entries', { token: 'alice' })
    world.metrics.committed(2, 30, 4_000, 5)
    world.metrics.appended(7)
    world.metrics.delivered(10, 3)
    world.metrics.storeFailed()
    world.metrics.sessionDiscarded()
    world.metrics.hints('dropped', 3)
    world.metrics.refused('plain', 'alice')
    world.metrics.refused('users/alice', 'forbidden')
    const { text, headers } = await ask(world, '/metrics')
    expect(headers.get('content-type')).to.match(/^text\/plain; version=0\.0\.4/)
    for (const line of [
      'tidemark_commits_total 1',
      'tidemark_committed_buckets_total 2',
      'tidemark_committed_entries_total 30',
      'tidemark_committed_bytes_total 4000',
      'tidemark_commit_duration_seconds_sum 0.005',
      'tidemark_commit_size_entries_sum 30',
      'tidemark_append_latency_seconds_sum 0.007',
      'tidemark_delivery_latency_seconds_sum 0.003',
      'tidemark_delivered_entries_total 10',
      'tidemark_store_failures_total 1',
      'tidemark_sessions_discarded_total 1',
      'tidemark_hints_total{outcome="dropped"} 3',
      'tidemark_refusals_total{door="http",code="forbidden"} 1',
      'tidemark_refusals_total{door="plain",code="other"} 1',
      'tidemark_refusals_total{door="other",code="forbidden"} 1',
      'tidemark_connections 3',
      'tidemark_backlog_bytes 12',
      'tidemark_streams 1',
    ]) {
      expect(text.split('\n')).to.include(line)
    }
    for (const name of ['nodejs_eventloop_lag_p99_seconds', 'process_cpu_seconds_total', 'process_resident_memory_bytes'])
      expect(text).to.include(`\n${name} `)
    for (const name of ['alice', 'bob', 'phone', 'secret-topic']) expect(text).to.not.include(name)
    const labels = new Set([...text.matchAll(/[{,]([a-z_]+)="/g)].map(([, label]) => label))
    expect(
      [...labels].filter(
        (label) =>
          !['le', 'door', 'code', 'outcome', 'space', 'type', 'kind', 'version', 'major', 'minor', 'patch', 'quantile'].includes(
            label ?? '',
          ),
      ),
    ).to.deep.equal([])
  })

  it('a scrape reads the gauges anew each time', async () => {
    await ask(world, '/metrics')
    await append(world, 'users/new', [{ topic: 'users/new/a' }])
    expect((await ask(world, '/metrics')).text).to.include('tidemark_streams 1')
  })

  it('/ is a short text page that names every route [P-11.12]', async () => {
    const { status, text, headers } = await ask(world, '/')
    expect([status, headers.get('content-type')]).to.deep.equal([200, 'text/plain; charset=utf-8'])
    expect(text).to.include('Tidemark 9.9.9')
    for (const route of Object.keys((await ask(world, '/openapi.json')).body['paths'] as object))
      if (route !== '/') expect(text).to.include(route)
  })

  describe('when it closes', () => {
    it('requests under way are finished, later ones on the same connection refused as stopping [P-8.15]', async () => {
      let release: (() => void) | undefined
      const publish = world.log.relay.publish.bind(world.log.relay)
      const started = new Promise<void>((underWay) => {
        world.log.relay.publish = async (name, fields) => {
          await new Promise<void>((resolve) => {
            release = resolve
            underWay()
          })
          return await publish(name, fields)
        }
      })
      const slow = ask(world, '/v1/streams/users/alice/entries', { token: 'alice', json: { topic: 'a', data: 1 } })
      await started
      let closed = false
      const closing = world.bridge.close().then(() => (closed = true))
      await new Promise((resolve) => setTimeout(resolve, 50))
      expect(closed).to.equal(false)
      release?.()
      const { status, headers } = await slow
      expect([status, headers.get('connection')]).to.deep.equal([201, 'close'])
      await closing
      expect((await world.log.stream('users/alice')).headSeq).to.equal(1)
    })

    it('a request that comes on an open connection meanwhile is stopping [P-12.24]', async () => {
      const publish = world.log.relay.publish.bind(world.log.relay)
      const closing: Promise<void>[] = []
      world.log.relay.publish = async (name, fields) => {
        closing.push(world.bridge.close())
        return await publish(name, fields)
      }
      const body = '{"topic":"a","data":1}'
      const first = `POST /v1/streams/users/alice/entries HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alice\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
      const second = `GET /v1/streams/users/alice/entries HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alice\r\n\r\n`
      const said = await speak(world, first + second)
      expect(said).to.match(/^HTTP\/1\.1 201/)
      // The first answer ends the connection; what was read before that is refused, never served.
      expect(said).to.not.match(/HTTP\/1\.1 200/)
      await Promise.all(closing)
      expect(await ask(world, '/healthz').catch((error: Error) => error.message)).to.equal('fetch failed')
    })

    it('idle connections do not hold it up', async () => {
      await new Promise<void>((resolve, reject) => {
        request({ port: world.port, host: '127.0.0.1', path: '/healthz', headers: { connection: 'keep-alive' } }, (response) => {
          response.resume().on('end', resolve)
        })
          .on('error', reject)
          .end()
      })
      const began = performance.now()
      await world.bridge.close()
      expect(performance.now() - began).to.be.lessThan(2_000)
    })
  })
})
