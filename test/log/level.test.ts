import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFile, cp, mkdir, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { ClassicLevel } from 'classic-level'
import { checksum } from '../../log/stores/level-checksum.ts'
import { LevelStore } from '../../log/stores/level.ts'
import { SyncError } from '../../protocol/errors.ts'
import { silentLogger } from '../../seams/logger.ts'
import { tempFolder } from '../support/temp.ts'
import { plainBucket } from './buckets.ts'

const everything = { from: 1, to: Number.MAX_SAFE_INTEGER, bytesMax: Number.MAX_SAFE_INTEGER }
const child = fileURLToPath(new URL('level-child.ts', import.meta.url))

describe('the embedded store', () => {
  it('finds entries beyond seq 2^32 among those below', async () => {
    const store = await opened(await newFolder())
    const starts = [1, 2 ** 31, 2 ** 32 - 2, 2 ** 32 + 1, 2 ** 40, 2 ** 47]
    for (const seq of starts) expect(await store.commit([plainBucket('users/alice', seq, 3)])).to.deep.equal(['stored'])
    expect((await store.read('users/alice', everything)).map(({ firstSeq }) => firstSeq)).to.deep.equal(starts)
    for (const seq of starts) {
      for (const within of [seq, seq + 1, seq + 2]) {
        const range = { from: within, to: within, bytesMax: 1 }
        for (const reverse of [false, true]) {
          expect((await store.read('users/alice', { ...range, reverse })).map(({ firstSeq }) => firstSeq)).to.deep.equal([seq])
        }
      }
    }
    expect((await store.load('users/alice')).last?.firstSeq).to.equal(2 ** 47)
    await store.removeBelow('users/alice', 2 ** 32 + 1)
    expect((await store.read('users/alice', everything)).map(({ firstSeq }) => firstSeq)).to.deep.equal(starts.slice(3))
    await store.close()
  })

  describe('is refused, by the name of its folder,', () => {
    it('to a second process, which changes nothing', async () => {
      const folder = await newFolder()
      const store = await filled(folder)
      const { code, output } = await runChild(folder)
      expect(code, output).to.equal(3)
      expect(output).to.include(folder).and.to.include('in use by another process')
      expect(await store.commit([plainBucket('users/alice', 21)])).to.deep.equal(['stored'])
      await store.close()
      expect((await runChild(folder)).output).to.include('opened')
    })

    it('to a second process while the first open has not ended, which must not begin anew beside it', async () => {
      const folder = await newFolder()
      const store = await filled(folder)
      await rm(join(dirname(folder), 'TIDEMARK'))
      const { code, output } = await runChild(folder)
      expect(code, output).to.equal(3)
      expect(output).to.include(folder).and.to.include('in use by another process')
      expect(await readdir(dirname(folder))).to.deep.equal(['log'])
      await store.close()
    })

    it('to a second process that finds files removed while it looks them over', async () => {
      const folder = await newFolder()
      const store = await filled(folder)
      // Its name is listed, and there is nothing to read: as when the first process removes it between the two.
      await symlink(join(folder, 'removed'), join(folder, 'MANIFEST-000099'))
      const { code, output } = await runChild(folder)
      expect(code, output).to.equal(3)
      expect(output).to.include(folder).and.to.include('in use by another process')
      await store.close()
    })

    it('where it was written by a newer release', async () => {
      const folder = await newFolder()
      await (await filled(folder)).close()
      await changeIdentity(folder, (identity) => ({ ...identity, schema: 2 }))
      await refused(folder, 'schema 2')
      await changeIdentity(folder, (identity) => ({ ...identity, schema: 1 }))
      await (await opened(folder)).close()
    })

    it('where it was and is missing', async () => {
      const folder = await newFolder()
      await (await filled(folder)).close()
      await rm(folder, { recursive: true })
      await refused(folder, 'is missing')
      expect(await readdir(dirname(folder))).to.deep.equal(['TIDEMARK'])
      await rm(join(dirname(folder), 'TIDEMARK'))
      await (await opened(folder)).close()
    })

    it('where it was and is an empty folder', async () => {
      const folder = await newFolder()
      await (await filled(folder)).close()
      await rm(folder, { recursive: true })
      await mkdir(folder)
      await refused(folder, 'could not be opened')
      expect((await readdir(folder)).filter((name) => name !== 'LOCK' && !name.startsWith('LOG'))).to.deep.equal([])
    })
  })

  it('begins anew where its first open never ended, keeping what was there aside', async () => {
    for (const half of [[], ['CURRENT'], ['MANIFEST-000001'], ['CURRENT', 'MANIFEST-000001', '000003.log']]) {
      const folder = await newFolder()
      await mkdir(folder)
      for (const name of half) await writeFile(join(folder, name), 'half')
      const store = await opened(folder)
      expect(await store.commit([plainBucket('users/alice', 1)])).to.deep.equal(['stored'])
      await store.close()
      const again = await opened(folder)
      expect((await again.load('users/alice')).last?.lastSeq).to.equal(1)
      await again.close()
    }
  })

  it('keeps what is there where only the marker was not written', async () => {
    const folder = await newFolder()
    await (await filled(folder)).close()
    await rm(join(dirname(folder), 'TIDEMARK'))
    const store = await opened(folder)
    expect((await store.read('users/alice', everything)).length).to.equal(20)
    await store.close()
  })

  it('refuses reads and writes when it is closed', async () => {
    const store = await filled(await newFolder())
    await store.close()
    await store.close()
    expect(await codeOf(store.load('users/alice'))).to.equal('store-unavailable')
    expect(await store.commit([plainBucket('users/alice', 21)])).to.deep.equal(['unknown'])
    expect(await codeOf(store.settle(plainBucket('users/alice', 21)))).to.equal('store-unavailable')
  })

  it('finishes what is under way before it closes', async () => {
    const folder = await newFolder()
    const store = await filled(folder)
    const commits = Array.from({ length: 20 }, (_, index) => store.commit([plainBucket(`users/u${index}`, 1)]))
    await store.close()
    expect((await Promise.all(commits)).flat()).to.deep.equal(Array.from({ length: 20 }, () => 'stored'))
    const again = await opened(folder)
    expect((await again.streams('', 100)).length).to.equal(21)
    await again.close()
  })

  describe('never hides damage', () => {
    it('of any one of its files', async () => {
      const source = await newFolder()
      const store = await filled(source, 300, 64 * 1024)
      await store.close()
      const files = (await readdir(source)).filter((name) => /^(CURRENT|MANIFEST.*|\d+\.(ldb|log))$/.test(name))
      expect(files.filter((name) => name.endsWith('.ldb')).length).to.be.greaterThan(5)
      let told = 0
      for (const name of files) {
        const size = (await stat(join(source, name))).size
        const damages: [string, (path: string) => Promise<void>][] = [
          ['flipped at 60', (path) => flip(path, Math.min(size - 1, 60))],
          ['flipped in the middle', (path) => flip(path, size >> 1)],
        ]
        // A log may end anywhere: no reader can tell a cut from a write that a crash tore.
        if (!name.endsWith('.log'))
          damages.push(['emptied', (path) => truncate(path, 0)], ['cut by half', (path) => truncate(path, size >> 1)])
        for (const [what, damage] of damages) {
          const folder = await newFolder()
          await cp(dirname(source), dirname(folder), { recursive: true })
          await damage(join(folder, name))
          const message = await findings(folder, 300)
          expect(message, `${name} ${what}`).to.be.a('string')
          expect(message, `${name} ${what}`).to.match(new RegExp(`${folder}|users/alice`))
          told++
        }
      }
      expect(told).to.be.greaterThan(30)
    })

    it('of the index of a table: LevelDB itself would hide what it leads to', async () => {
      const source = await newFolder()
      await (await filled(source, 300, 64 * 1024)).close()
      const name = (await readdir(source)).find((file) => file.endsWith('.ldb')) as string
      const { size } = await stat(join(source, name))
      const seen = { told: 0, whole: 0 }
      for (let at = size - 200; at < size; at += 3) {
        const folder = await newFolder()
        await cp(dirname(source), dirname(folder), { recursive: true })
        await flip(join(folder, name), at)
        const message = await findings(folder, 300)
        expect(message, `flipped at ${at} of ${size}`).to.be.a('string')
        if (message?.startsWith('all')) seen.whole++
        else {
          expect(message, `flipped at ${at} of ${size}`).to.include(name)
          seen.told++
        }
      }
      expect(seen.told).to.be.greaterThan(30)
    })

    it('of a MANIFEST cut short anywhere: tables that it no longer names are not deleted', async () => {
      const source = await newFolder()
      await (await filled(source, 200, 64 * 1024)).close()
      const manifest = (await readdir(source)).find((name) => name.startsWith('MANIFEST')) as string
      const { size } = await stat(join(source, manifest))
      const seen = { told: 0, whole: 0 }
      for (let length = 0; length < size; length += 23) {
        const folder = await newFolder()
        await cp(dirname(source), dirname(folder), { recursive: true })
        await truncate(join(folder, manifest), length)
        const message = await findings(folder, 200)
        expect(message, `cut to ${length}`).to.be.a('string')
        seen[message?.startsWith('all') ? 'whole' : 'told']++
      }
      expect(seen.told, JSON.stringify(seen)).to.be.greaterThan(10)
    })

    it('of a bucket: the message names stream and seq', async () => {
      const folder = await newFolder()
      await (await filled(folder)).close()
      const database = new ClassicLevel<Buffer, Buffer>(folder, { keyEncoding: 'buffer', valueEncoding: 'buffer' })
      for await (const [key, value] of database.iterator({ gte: Buffer.from('Lusers/alice\0'), limit: 7 })) {
        if (value.readUIntBE(14, 6) !== 7) continue
        value[value.length - 1] = 0
        await database.put(key, value)
      }
      await database.close()
      const store = await opened(folder)
      const error = await store.read('users/alice', everything).catch((thrown: unknown) => thrown as Error)
      expect((error as Error).message)
        .to.include('users/alice')
        .and.to.include('seq 7')
        .and.to.include('checksum')
      expect((await store.read('users/alice', { ...everything, from: 8 })).length).to.equal(13)
      await store.close()
    })

    it('but takes the end of a log that a crash tore', async () => {
      const source = await newFolder()
      await (await filled(source, 40)).close()
      const log = (await readdir(source)).find((name) => name.endsWith('.log')) as string
      const whole = await readFile(join(source, log))
      let opens = 0
      for (let cut = 1; cut < 2_500; cut += 97) {
        for (const tail of ['cut', 'zeroed', 'garbage']) {
          const folder = await newFolder()
          await cp(dirname(source), dirname(folder), { recursive: true })
          const torn = Buffer.from(whole)
          if (tail === 'zeroed') torn.fill(0, whole.length - cut)
          if (tail === 'garbage') torn.fill(0xa5, whole.length - cut)
          await writeFile(join(folder, log), tail === 'cut' ? torn.subarray(0, -cut) : torn)
          if (cut > 2_000 && tail !== 'cut') continue // More than the last record.
          const store = await opened(folder)
          const found = await store.read('users/alice', everything)
          expect(found.length).to.be.at.least(38)
          await store.close()
          opens++
        }
      }
      expect(opens).to.be.greaterThan(40)
    })

    it('or that lost a page in the middle of its last batch', async () => {
      const source = await newFolder()
      const filling = await filled(source)
      const large = plainBucket('users/alice', 21, 4, randomBytes(90_000))
      expect(await filling.commit([large])).to.deep.equal(['stored'])
      await filling.close()
      const log = (await readdir(source)).find((name) => name.endsWith('.log')) as string
      const whole = await readFile(join(source, log))
      for (let back = 20_000; back < 340_000; back += 40_000) {
        const folder = await newFolder()
        await cp(dirname(source), dirname(folder), { recursive: true })
        await writeFile(join(folder, log), Buffer.from(whole).fill(0, whole.length - back, whole.length - back + 4_096))
        const store = await opened(folder)
        expect((await store.load('users/alice')).last?.lastSeq).to.equal(20)
        await store.close()
      }
    })

    it('or a change of the MANIFEST that came to the disk before the names of the files it adds', async () => {
      const folder = await newFolder()
      await (await filled(folder, 300, 64 * 1024)).close()
      const names = await readdir(folder)
      const numbers = names.map((name) => Number.parseInt(name.replace('MANIFEST-', ''), 10)).filter((number) => number > 0)
      const next = Math.max(...numbers) + 1
      const key = (user: string): number[] => [user.length + 8, ...Buffer.from(user), 1, 1, 0, 0, 0, 0, 0, 0]
      // A log was begun and the table of the last one added; neither has a name yet, but a table that is still being written has.
      const record = Buffer.from([2, next, 7, 0, next + 2, 100, ...key('La'), ...key('Lb')])
      await appendFile(join(folder, names.find((name) => name.startsWith('MANIFEST')) as string), logRecord(record))
      await writeFile(join(folder, `${String(next + 1).padStart(6, '0')}.ldb`), 'half a table')
      const store = await opened(folder)
      expect((await store.read('users/alice', { ...everything, bytesMax: 1e9 })).length).to.equal(300)
      await store.close()
    })

    for (const { name, silently } of [
      { name: 'nor loses what a new MANIFEST has taken over, where CURRENT names the older one', silently: false },
      {
        name: 'nor where an older log is still there that the older MANIFEST needs: LevelDB would open without the newer one',
        silently: true,
      },
    ]) {
      it(name, async () => {
        const folder = await newFolder()
        await (await filled(folder, 300, 64 * 1024)).close()
        const current = await readFile(join(folder, 'CURRENT'), 'latin1')
        const manifest = join(folder, current.trim())
        const before = await readFile(manifest)
        const logBefore = (await readdir(folder)).filter((file) => file.endsWith('.log'))
        // Opening takes the log over into a table and deletes it.
        const again = await opened(folder)
        await again.close()
        expect(await readdir(folder)).not.to.include.members(logBefore)
        await writeFile(join(folder, 'CURRENT'), current)
        await writeFile(manifest, before)
        if (silently) {
          await appendFile(manifest, logRecord(Buffer.from([2, 1])))
          await writeFile(join(folder, '000001.log'), '')
        }
        const store = await opened(folder)
        expect((await store.read('users/alice', { ...everything, bytesMax: 1e9 })).length).to.equal(300)
        await store.close()
      })
    }

    it('and takes whatever a process that was killed left', async () => {
      const folder = await newFolder()
      const { acknowledged } = await runChild(folder, 'write')
      const store = await opened(folder)
      const last = (await store.load('users/alice')).last?.lastSeq ?? 0
      expect(acknowledged).to.be.greaterThan(100)
      expect(last).to.be.at.least(acknowledged)
      expect((await store.read('users/alice', everything)).length).to.equal(last)
      await store.close()
      await appendFile(join(dirname(folder), 'note'), 'what stands beside the folder is nobody’s affair')
      await (await opened(folder)).close()
    })
  })
})

/** A record as it stands in a log or MANIFEST of LevelDB, if it fits the block. */
function logRecord(record: Buffer): Buffer {
  const framed = Buffer.concat([Buffer.alloc(6), Buffer.from([1]), record])
  framed.writeUInt16LE(record.length, 4)
  const crc = checksum(framed, 6, framed.length)
  framed.writeUInt32LE((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0, 0)
  return framed
}

async function newFolder(): Promise<string> {
  return join(await tempFolder(), 'log')
}

async function opened(folder: string, writeBufferBytes = 16 * 1024 * 1024): Promise<LevelStore> {
  const store = new LevelStore({ folder, logger: silentLogger, writeBufferBytes })
  await store.open()
  return store
}

/** A store with entries 1 to `count` of users/alice, each of 2,000 bytes that do not compress. */
async function filled(folder: string, count = 20, writeBufferBytes?: number): Promise<LevelStore> {
  const store = await opened(folder, writeBufferBytes)
  for (let seq = 1; seq <= count; seq++) {
    const payload = randomBytes(2_000)
    expect(await store.commit([plainBucket('users/alice', seq, 1, payload)])).to.deep.equal(['stored'])
  }
  return store
}

async function refused(folder: string, reason: string): Promise<void> {
  const error = await new LevelStore({ folder, logger: silentLogger }).open().catch((thrown: unknown) => thrown)
  expect(error).to.be.instanceOf(SyncError).and.to.have.property('code', 'store-unavailable')
  expect((error as SyncError).message)
    .to.include(folder)
    .and.to.include(reason)
}

/** What the store says when it is opened and read; undefined where it says nothing though entries are missing. */
async function findings(folder: string, count: number): Promise<string | undefined> {
  const store = new LevelStore({ folder, logger: silentLogger })
  try {
    await store.open()
    const read = await store.read('users/alice', everything)
    return read.length === count ? 'all of users/alice is there' : undefined
  } catch (error) {
    expect(error).to.be.instanceOf(Error)
    return (error as Error).message
  } finally {
    await store.close()
  }
}

async function flip(path: string, at: number): Promise<void> {
  const bytes = await readFile(path)
  bytes[at] = (bytes[at] as number) ^ 0x40
  await writeFile(path, bytes)
}

async function changeIdentity(folder: string, change: (identity: object) => object): Promise<void> {
  const database = new ClassicLevel(folder)
  await database.put('Midentity', JSON.stringify(change(JSON.parse((await database.get('Midentity')) as string) as object)))
  await database.close()
}

async function codeOf(call: Promise<unknown>): Promise<string | undefined> {
  return call.then(
    () => undefined,
    (error: unknown) => (error as SyncError).code,
  )
}

/** Opens the store in another process; `write` appends there until it is killed. */
function runChild(folder: string, task = 'open'): Promise<{ code: number | null; output: string; acknowledged: number }> {
  return new Promise((resolve, reject) => {
    const other = spawn(process.execPath, ['--import', 'tsx', child, folder, task], { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    let acknowledged = 0
    other.stdout.on('data', (bytes: Buffer) => {
      output += bytes.toString()
      acknowledged = Number(/(\d+)\n[^\n]*$/.exec(output)?.[1] ?? 0)
      if (task === 'write' && acknowledged > 150) other.kill('SIGKILL')
    })
    other.stderr.on('data', (bytes: Buffer) => (output += bytes.toString()))
    other.on('error', reject)
    other.on('close', (code) => resolve({ code, output, acknowledged }))
  })
}
