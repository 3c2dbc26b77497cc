/** A disk that takes no more: no false acknowledgement, recovery without a restart, nothing lost [P-8.7], [P-8.14]. */
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import type { Packet } from 'mqtt-packet'
import { childServer, type ChildServer } from '../support/server.ts'
import { OncePublisher, type Door } from './crash-clients.ts'
import { compiledRecorder, newWatch } from './recorder/compile.ts'
import { pages, replay } from './support/history.ts'
import { MqttClient } from './support/mqtt.ts'
import { seededRandom, testSeed } from './support/random.ts'
import { until, within } from './support/waiting.ts'

const stream = 'users/alice'
const timeoutMs = 30_000

/** How a disk is filled and emptied. */
interface Disk {
  /** From now on it takes about so many bytes more. */
  fill(bytes: number): Promise<void>
  /** Nor anything in a file that was begun meanwhile. */
  stayFull(): void
  empty(): Promise<void>
}

describe('a full disk', function () {
  this.timeout(240_000)
  let server: ChildServer | undefined

  afterEach(async () => {
    await server?.kill('SIGKILL')
  })

  it('by a limit on the size of files, set and lifted from outside [P-8.2], [P-8.7], [P-8.13], [P-8.14], [P-11.9]', async () => {
    server = await childServer()
    const { pid, folder } = server
    const limit = (bytes: number | 'unlimited'): void => {
      execFileSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:unlimited`])
    }
    const disk: Disk = {
      async fill(bytes) {
        limit((await largestFileBytes(join(folder, 'log'))) + bytes)
      },
      stayFull: () => limit(64),
      async empty() {
        limit('unlimited')
      },
    }
    await examine(server, disk, { seed: testSeed('limited files'), times: 3 })
  })

  it('by ENOSPC in the middle of writes, again and again [P-8.2], [P-8.7], [P-8.13], [P-8.14], [P-11.9]', async function () {
    const watch = await newWatch(await compiledRecorder(this))
    server = await childServer({ folder: watch.data, env: watch.env })
    const control = openSync(join(watch.side, 'control'), 'r+')
    const failedWrites = (): bigint => readNumber(control, 8)
    const disk: Disk = {
      async fill(bytes) {
        writeNumber(control, 0, BigInt(bytes))
      },
      stayFull: () => writeNumber(control, 0, 0n),
      async empty() {
        expect(failedWrites() > 0n, 'writes failed').to.equal(true)
        writeNumber(control, 8, 0n)
        writeNumber(control, 0, -1n)
      },
    }
    try {
      await examine(server, disk, { seed: testSeed('no space'), times: 6 })
    } finally {
      closeSync(control)
    }
  })
})

async function examine(server: ChildServer, disk: Disk, { seed, times }: { seed: number; times: number }): Promise<void> {
  const random = seededRandom(seed)
  const token = await server.token('alice')
  const door: Door = { port: server.ports.mqtt, token }
  const publisher = new OncePublisher('publisher', [stream], 16)
  const seen = await seenLive(door)
  for (let time = 1; time <= times; time++) {
    await publisher.connect(door)
    await moreAcknowledged(publisher, 100)
    await disk.fill(Math.floor(random() * 12_000))
    await within(timeoutMs, 'the connection to be closed on the full disk', publisher.closed)
    disk.stayFull()
    expect(await refusedToPublish(door), 'a publish on a full disk is refused').to.equal(true)
    await until(timeoutMs, 'readiness to fail', async () => (await readiness(server)).status === 503)
    expect((await readiness(server)).text).to.include('store-unavailable')
    expect(await refusedToPublish(door), 'a publish to a store that is not ready is refused').to.equal(true)
    await disk.empty()
    await until(timeoutMs, 'readiness to come back by itself', async () => (await readiness(server)).status === 200)
  }
  await publisher.connect(door)
  await moreAcknowledged(publisher, 100)
  await server.kill('SIGKILL')
  await server.start()
  const place = { ports: server.ports, token, stream }
  const entries = await replay(place, 'earliest')
  expect(await pages(place, 'earliest')).to.deep.equal(entries)
  expect(entries.map(({ seq }) => seq)).to.deep.equal(entries.map((_, index) => index + 1))
  const texts = new Set(entries.map(({ text }) => text))
  expect(texts.size, 'each entry once').to.equal(entries.length)
  expect(publisher.acknowledged.size).to.be.at.least(times * 100)
  expect(
    [...publisher.acknowledged].filter((text) => !texts.has(text)),
    'acknowledged and lost',
  ).to.deep.equal([])
  expect(seen.size).to.be.at.least(100)
  expect(
    [...seen].filter((text) => !texts.has(text)),
    'delivered, but not in the log [P-8.13]',
  ).to.deep.equal([])
}

/** What a subscriber gets as it is published. */
async function seenLive(door: Door): Promise<Set<string>> {
  const seen = new Set<string>()
  const received = (packet: Packet): void => {
    if (packet.cmd === 'publish') seen.add(packet.payload.toString())
  }
  const client = await MqttClient.open({ ...door, clientId: 'live', clean: true, received })
  await client.subscribe(`${stream}/#`)
  return seen
}

async function moreAcknowledged(publisher: OncePublisher, count: number): Promise<void> {
  const wanted = publisher.acknowledged.size + count
  await until(
    timeoutMs,
    () => `${wanted} acknowledgements, ${publisher.acknowledged.size} came`,
    () => publisher.acknowledged.size >= wanted,
  )
}

/** Whether a new connection is not served, or closed when it publishes. */
async function refusedToPublish(door: Door): Promise<boolean> {
  let acknowledged = false
  const received = (): void => void (acknowledged = true)
  const client = await MqttClient.open({ ...door, clientId: 'hopeful', clean: true, received }).catch(() => undefined)
  if (!client) return true
  client.send({ cmd: 'publish', topic: `${stream}/hopeful`, payload: 'hopeful', qos: 1, retain: false, dup: false, messageId: 1 })
  await within(timeoutMs, 'the connection of a publisher to be closed', client.closed)
  return !acknowledged
}

async function readiness({ ports }: ChildServer): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://127.0.0.1:${ports.http}/readyz`, { signal: AbortSignal.timeout(10_000) })
  return { status: response.status, text: await response.text() }
}

async function largestFileBytes(folder: string): Promise<number> {
  const sizes = await Promise.all(
    (await readdir(folder)).map(async (name) => (await stat(join(folder, name)).catch(() => ({ size: 0 }))).size),
  )
  return Math.max(...sizes)
}

function readNumber(descriptor: number, at: number): bigint {
  const bytes = Buffer.alloc(8)
  readSync(descriptor, bytes, 0, 8, at)
  return bytes.readBigInt64LE()
}

function writeNumber(descriptor: number, at: number, value: bigint): void {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64LE(value)
  writeSync(descriptor, bytes, 0, 8, at)
}
