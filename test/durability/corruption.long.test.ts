/** Data folders that are not what they were: copied back in time, opened twice, damaged. Nothing is served in silence as if it were whole. */
import { createHash } from 'node:crypto'
import { cpSync, openSync, closeSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { childServer, type ChildServer } from '../support/server.ts'
import { tempFolder } from '../support/temp.ts'
import { OncePublisher } from './crash-clients.ts'
import { pages, replay, type Place } from './support/history.ts'
import { LineServer, startProgram, succeeded } from './support/processes.ts'
import { seededRandom, testSeed } from './support/random.ts'
import { until } from './support/waiting.ts'
import type { Verdict } from './verify.ts'

describe('a data folder', function () {
  this.timeout(240_000)
  const servers: ChildServer[] = []
  let verifier: LineServer | undefined

  afterEach(async () => {
    await verifier?.end()
    verifier = undefined
    for (const server of servers.splice(0)) await server.kill('SIGKILL')
  })

  async function started(folder: string): Promise<ChildServer> {
    const server = await childServer({ folder })
    servers.push(server)
    return server
  }

  it('copied back in time answers positions ahead of it with a reset, not with silence [P-2.11], [P-2.13], [P-6.11], [P-11.26]', async () => {
    const folder = await tempFolder()
    const copy = join(await tempFolder(), 'copy')
    const server = await started(folder)
    const place: Place = { ports: server.ports, token: await server.token('alice'), stream: 'users/alice' }
    await publish(server, place, 'before', 60)
    const common = (await replay(place, 'earliest')).at(-1)?.pos as string
    await server.kill('SIGTERM')
    cpSync(folder, copy, { recursive: true })
    await server.start()
    await publish(server, place, 'lost', 60)
    const ahead = (await replay(place, common)).at(-1)?.pos as string
    await server.kill('SIGTERM')
    rmSync(folder, { recursive: true })
    cpSync(copy, folder, { recursive: true })
    await server.start()

    expect(await failure(replay(place, ahead))).to.equal('reset: ahead')
    expect(await failure(pages(place, ahead))).to.match(/^410 ahead/)
    expect(await replay(place, common)).to.deep.equal([])
    expect(await pages(place, common)).to.deep.equal([])
    await publish(server, place, 'other', 80) // Another history at the same seqs, and beyond.
    expect(await failure(replay(place, ahead))).to.equal('reset: epoch')
    expect(await failure(pages(place, ahead))).to.match(/^410 epoch/)
    expect((await replay(place, common)).map(({ text }) => text.split('-')[0])).to.satisfy(
      (names: string[]) => names.length >= 80 && names.every((name) => name.startsWith('other')),
    )
  })

  it('that another process has open is refused with a sentence and exit code 1, and the other goes on', async () => {
    const server = await started(await tempFolder())
    const place: Place = { ports: server.ports, token: await server.token('alice'), stream: 'users/alice' }
    await publish(server, place, 'before', 10)
    const message = await failure(childServer({ folder: server.folder }))
    expect(message).to.include('(1)').and.to.include(server.folder).and.to.include('in use by another process')
    expect(message).not.to.include('    at ')
    await publish(server, place, 'after', 10)
    expect(await replay(place, 'earliest')).to.have.length.of.at.least(20)
  })

  it('with a damaged file says what and where, on opening or on reading, and does not begin empty', async () => {
    const random = seededRandom(testSeed('damage'))
    const source = await tempFolder()
    const side = await tempFolder()
    const told = openSync(join(side, 'told'), 'w')
    const child = startProgram('child', [source, '7', '900', 'none'], ['ignore', 'ignore', 'pipe', told])
    await succeeded(child, 'the writing program', 60_000)
    closeSync(told)
    const lines = readFileSync(join(side, 'told'), 'utf8').split('\n').slice(0, -1)
    writeFileSync(join(side, 'events'), lines.map((line, index) => `${index + 1}\tA\t${line}\n`).join(''))
    verifier = startVerifier(side)
    const verdictOf = async (folder: string): Promise<Verdict | undefined> => {
      const answer = await (verifier as LineServer).ask(`${folder} ${lines.length} no-repair`, 30_000).catch((error: Error) => error)
      if (!(answer instanceof Error)) return JSON.parse(answer) as Verdict
      expect(answer.message).to.match(/leveldb.*Assertion/s)
      verifier = startVerifier(side)
      return undefined
    }
    expect(await verdictOf(await copyOf(source)).then((verdict) => verdict?.wrong)).to.deep.equal([])

    const tally = new Map<string, Record<Outcome, number>>()
    const silent: string[] = []
    for (const name of readdirSync(join(source, 'log')).filter((file) => /^(?:CURRENT|MANIFEST-\d+|\d+\.(?:ldb|log))$/.test(file))) {
      for (const { what, apply } of damagesOf(join(source, 'log', name), random)) {
        const folder = await copyOf(source)
        apply(join(folder, 'log', name))
        const verdict = await verdictOf(folder)
        rmSync(folder, { recursive: true })
        const outcome = outcomeOf(verdict)
        const kind = `${name.replace(/\d+/, 'N')} ${what.replace(/ at .*/, '')}`
        const counts = tally.get(kind) ?? { opening: 0, reading: 0, nothing: 0, abort: 0, silent: 0 }
        counts[outcome]++
        tally.set(kind, counts)
        if (verdict?.refused !== undefined) expect(verdict.refused, `${name} ${what}`).to.include(join(folder, 'log'))
        if (outcome === 'silent') silent.push(`${name} ${what}: ${verdict?.wrong.join('; ')}`)
      }
    }
    process.stdout.write([...tally].map(([kind, counts]) => `      ${kind}: ${JSON.stringify(counts)}\n`).join(''))
    expect([...tally.values()].reduce((sum, { opening, reading }) => sum + opening + reading, 0)).to.be.at.least(40)
    // LevelDB reads its tables without looking at their checksums: a flipped bit in a key can hide what stands under it,
    // less than once in a thousand flips. Everything else must be told.
    const hidden = silent.filter((each) => /^\d+\.ldb flipped/.test(each))
    process.stdout.write(hidden.map((each) => `      KNOWN LIMIT, not told: ${each}\n`).join(''))
    expect(silent.filter((each) => !hidden.includes(each))).to.deep.equal([])
    expect(hidden.length, hidden.join('\n')).to.be.at.most(2)
  })
})

/**
 * Where damage is told. `nothing`: nothing is missing, the bytes meant nothing any more. `abort`: LevelDB does not check
 * its tables when it merges them, and ends the process over keys that are out of order.
 */
type Outcome = 'opening' | 'reading' | 'nothing' | 'abort' | 'silent'

function outcomeOf(verdict: Verdict | undefined): Outcome {
  if (!verdict) return 'abort'
  if (verdict.refused !== undefined) return 'opening'
  if (verdict.wrong.length === 0) return 'nothing'
  return verdict.wrong.every((each) => each.startsWith('error: ')) ? 'reading' : 'silent'
}

function startVerifier(side: string): LineServer {
  return new LineServer(startProgram('verifier', [side], ['pipe', 'pipe', 'pipe']))
}

interface Damage {
  readonly what: string
  readonly apply: (path: string) => void
}

function damagesOf(file: string, random: () => number): Damage[] {
  const { size } = statSync(file)
  // The last record of a log cannot be told from one that a crash tore, nor its end from where writing stopped.
  const isLog = file.endsWith('.log')
  const flips = Array.from({ length: 8 }, () => Math.floor(random() * size * (isLog ? 0.5 : 1)))
  if (isLog) flips.push(...lengthsOf(file))
  const damages = flips.map((at): Damage => ({ what: `flipped at ${at}`, apply: (path) => flip(path, at) }))
  if (isLog) return damages
  return [
    ...damages,
    { what: 'emptied', apply: (path) => truncateSync(path, 0) },
    { what: 'cut by half', apply: (path) => truncateSync(path, size >> 1) },
    { what: 'removed', apply: (path) => rmSync(path) },
  ]
}

/** Where the lengths of its records stand, that of the last one, too: their checksums say that all else is whole. */
function lengthsOf(path: string): number[] {
  const bytes = readFileSync(path)
  const found: number[] = []
  // Blocks of 32 KiB, in them records of a header (checksum of 4 bytes, length of 2, type of 1) and their bytes.
  for (let at = 0; at + 7 <= bytes.length;) {
    const left = 32_768 - (at % 32_768)
    if (left >= 7) found.push(at + 4, at + 5)
    at += left < 7 ? left : 7 + bytes.readUInt16LE(at + 4)
  }
  return found
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at] = (bytes[at] as number) ^ 0x11
  writeFileSync(path, bytes)
}

async function copyOf(source: string): Promise<string> {
  const folder = await tempFolder()
  cpSync(source, folder, { recursive: true })
  return folder
}

async function publish(server: ChildServer, { token }: Place, name: string, count: number): Promise<void> {
  const publisher = new OncePublisher(
    `${name}${createHash('sha1').update(String(Math.random())).digest('hex').slice(0, 6)}`,
    ['users/alice'],
    1,
  )
  await publisher.connect({ port: server.ports.mqtt, token })
  await until(20_000, `${count} acknowledgements`, () => publisher.acknowledged.size >= count)
  publisher.draining = true
  await until(20_000, 'the last acknowledgement', () => publisher.underWay === 0)
}

async function failure(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    (value) => `resolved with ${JSON.stringify(value)?.slice(0, 200)}`,
    (error: Error) => error.message,
  )
}
