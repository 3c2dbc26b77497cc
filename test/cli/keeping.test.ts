/** The commands that keep a store: verify, backup, restore, copy. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { ClassicLevel } from 'classic-level'
import { startServer } from '../../cli/server.ts'
import { putSeal } from '../../log/seal.ts'
import { LevelStore } from '../../log/stores/level.ts'
import { silentLogger } from '../../seams/logger.ts'
import { contentOf, fillStore, heads, wholeStream } from '../log/filled-store.ts'
import { plainBucket } from '../log/buckets.ts'
import { compiledProgram } from '../support/program.ts'
import { cleanEnvironment, testServer } from '../support/server.ts'
import { tempFolder } from '../support/temp.ts'
import { inProcess, tidemark } from './run.ts'

describe('the commands that keep a store', function () {
  this.timeout(120_000)
  let data: string

  beforeEach(async () => {
    data = join(await tempFolder(), 'data')
    await fillStore(storeIn(data))
  })

  it('[P-2.21], [P-8.6] back up and restore: all is there, under a new epoch, and readers are told', async () => {
    const [file, target] = [join(await tempFolder(), 'backup'), join(await tempFolder(), 'data')]
    const backup = await inProcess(['backup', file, '--data', data])
    expect(backup).to.include({ code: 0, stdout: '' })
    expect(backup.stderr).to.match(/^backed up 5 streams, \d+ entries, \d+ buckets, \d+ chunks, 3 documents, \d+\.\d MB\n$/)
    expect(statSync(file).mode & 0o777).to.equal(0o600)
    expect(readdirSync(data)).to.have.members(['TIDEMARK', 'log'])
    const restored = await inProcess(['restore', file, '--data', target])
    expect(restored).to.include({ code: 0, stderr: '' })
    const [, epoch, before] = /its epoch is (\S{8}), that of the backup was (\S{8})/.exec(restored.stdout) ?? []
    expect(await contentIn(target)).to.deep.equal(await contentIn(data))
    expect((await inProcess(['verify', '--data', target])).code).to.equal(0)
    const server = await testServer({ folder: target, store: 'level' })
    const authorization = `Bearer ${await server.token('alice')}`
    const page = async (after: string): Promise<Response> =>
      await fetch(`${server.urls.http}/v1/streams/users/alice/entries?after=${after}`, { headers: { authorization } })
    expect((await page(`${before}.50.abcd`)).status).to.equal(410)
    const { head } = (await (await page('earliest')).json()) as { head: string }
    expect(head).to.match(new RegExp(`^${epoch}\\.${heads['users/alice']}\\.`))
    await server.stop()
  })

  it('[P-8.6] back up and verify while a server has the store open, with all that it has acknowledged', async () => {
    const server = await testServer({ folder: data, store: 'level' })
    const [file, target] = [join(await tempFolder(), 'backup'), join(await tempFolder(), 'data')]
    const token = await server.token('bob')
    const post = await fetch(`${server.urls.http}/v1/streams/users/bob/entries`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ topic: 'late', text: 'just now' }),
    })
    expect(post.status).to.equal(201)
    expect((await inProcess(['verify', '--data', data])).code).to.equal(0)
    expect((await inProcess(['backup', file, '--data', data])).code).to.equal(0)
    await server.stop()
    expect((await inProcess(['restore', file, '--data', target])).code).to.equal(0)
    const store = storeIn(target)
    await store.open()
    expect((await store.load('users/bob')).last?.topic(0)).to.equal('users/bob/late')
    await store.close()
  })

  it('refuse a backup that was cut or changed before anything is restored', async () => {
    const folder = await tempFolder()
    const [file, target] = [join(folder, 'backup'), join(folder, 'data')]
    await inProcess(['backup', file, '--data', data])
    const bytes = readFileSync(file)
    writeFileSync(join(folder, 'cut'), bytes.subarray(0, bytes.length >> 1))
    const changed = Buffer.from(bytes)
    changed[bytes.length >> 1] = (changed[bytes.length >> 1] as number) ^ 1
    writeFileSync(join(folder, 'changed'), changed)
    for (const [name, sentence] of [
      ['cut', /ends in the record at byte \d+ \(in \S+\), before its end: it was cut off/],
      ['changed', /is damaged at byte \d+ \(in \S+\): the record there fails its checksum/],
      ['none', /none cannot be read/],
    ] as const) {
      const { code, stdout, stderr } = await inProcess(['restore', join(folder, name), '--data', target])
      expect({ code, stdout }).to.deep.equal({ code: 1, stdout: '' })
      expect(stderr).to.match(sentence)
      expect(existsSync(target), name).to.equal(false)
    }
    expect((await inProcess(['restore', file, '--check'])).stdout).to.match(/backup is whole: 5 streams/)
    expect((await inProcess(['backup', file, '--data', data])).stderr).to.include('is there already')
    expect((await inProcess(['restore', file, '--data', data])).stderr).to.include('is not empty; restore into a new store')
  })

  it('stream a backup through pipes', async () => {
    const target = join(await tempFolder(), 'data')
    const script = `"$0" "$1" backup - --data "$2" | "$0" "$1" restore - --data "$3"`
    const words = [process.execPath, await compiledProgram(), data, target]
    const child = spawn('bash', ['-o', 'pipefail', '-c', script, ...words], { env: cleanEnvironment() })
    expect((await once(child, 'close'))[0]).to.equal(0)
    expect(await contentIn(target)).to.deep.equal(await contentIn(data))
  })

  it('leave nothing half made when they are interrupted', async () => {
    const store = storeIn(data)
    await store.open()
    for (let seq = 1; seq <= 6; seq++) await store.commit([plainBucket('users/large', seq, 10, Buffer.alloc(90_000))])
    await store.close()
    const folder = await tempFolder()
    const file = join(folder, 'backup')
    // As long as nobody reads from it, what is written to it waits.
    execFileSync('mkfifo', [`${file}.partial`])
    const child = spawn(process.execPath, [await compiledProgram(), 'backup', file, '--data', data], {
      env: cleanEnvironment(),
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    const reader = createReadStream(`${file}.partial`)
    await once(reader, 'readable')
    child.kill('SIGINT')
    reader.resume()
    const [code] = (await once(child, 'close')) as [number]
    expect({ code, stderr }).to.deep.equal({ code: 1, stderr: 'tidemark: interrupted\n' })
    expect(readdirSync(folder)).to.deep.equal([])
    expect(readdirSync(data)).to.have.members(['TIDEMARK', 'log'])
  })

  it('[P-3.20] find a flipped byte and a missing commit, in a table and with exit code 1', async () => {
    const level = new ClassicLevel<Buffer, Buffer>(join(data, 'log'), { keyEncoding: 'buffer', valueEncoding: 'buffer' })
    const entries = await level.iterator({ gte: Buffer.from(`L${wholeStream}\0`), lt: Buffer.from(`L${wholeStream}\x01`) }).all()
    const [key, value] = entries[2] as [Buffer, Buffer]
    value[value.length - 1] = (value.at(-1) as number) ^ 1
    await level.put(key, value)
    const [first] = await level.keys({ gte: Buffer.from('Lusers/alice\0'), limit: 2 }).all()
    await level.del(first as Buffer)
    await level.close()
    const { code, stdout, stderr } = await inProcess(['verify', '--data', data])
    expect(code).to.equal(1)
    expect(stdout)
      .to.match(/^streams {5}5$/m)
      .and.match(/^findings {4}2$/m)
    expect(stdout).to.match(/^- the bucket of spaces\/board-7 that begins at seq \d+ fails its checksum$/m)
    expect(stdout).to.match(/^- users\/alice: seq \d+ (is|to \d+ are) missing$/m)
    expect(stderr).to.equal(`tidemark: ${join(data, 'log')} is damaged\n`)
    writeFileSync(join(data, 'log', 'CURRENT'), 'nothing')
    const refused = await inProcess(['verify', '--data', data])
    expect(refused.code).to.equal(1)
    expect(refused.stderr).to.include(join(data, 'log')).and.to.not.include('.view-')
  })

  it('[P-2.21], [P-2.7] copy a store with its epoch, and seal the one it came from', async () => {
    const target = join(await tempFolder(), 'data', 'log')
    const before = await contentIn(data)
    const copied = await inProcess(['copy', '--from', 'level:', '--to', `level:${target}`, '--data', data])
    expect(copied).to.include({ code: 0, stderr: '' })
    expect(copied.stdout).to.match(/^copied 5 streams, .* compared, and sealed /)
    expect(await contentIn(join(target, '..'))).to.deep.equal(before)
    const started = await startServer({ data, mqttPort: 0, httpPort: 0 }).catch((error: Error) => error)
    expect((started as Error).message).to.equal(`${join(data, 'log')} has moved: start the server with --store level:${target}`)
    const again = await inProcess(['copy', '--from', 'level:', '--to', 'level:elsewhere', '--data', data])
    expect(again.stderr).to.include('has moved')
  })

  it('[P-2.21] take the seal off a store that was copied, and off none that holds a part', async () => {
    const target = join(await tempFolder(), 'data')
    await inProcess(['copy', '--from', 'level:', '--to', `level:${join(target, 'log')}`, '--data', data])
    const taken = await inProcess(['unseal', '--data', data])
    expect(taken).to.deep.equal({
      code: 0,
      stderr: '',
      stdout: `${join(data, 'log')} may be served again; what was written to its copy is not in it\n`,
    })
    const server = await startServer({ data, mqttPort: 0, httpPort: 0 })
    await server.stop()
    expect((await inProcess(['unseal', '--data', data])).stdout).to.include('has no seal')
    const part = storeIn(target)
    await part.open({ existing: true })
    await putSeal(part.documents, { why: 'restoring', sentence: 'the restore into it did not end', epoch: 'AbCdEfGh' })
    await part.close()
    const refused = await inProcess(['unseal', '--data', target])
    expect(refused).to.include({ code: 1, stderr: 'tidemark: it is not whole: the restore into it did not end\n' })
    const served = await startServer({ data: target, mqttPort: 0, httpPort: 0 }).catch((error: Error) => error)
    expect((served as Error).message).to.equal('the restore into it did not end')
    expect((await inProcess(['unseal', '--data', join(target, 'nowhere')])).code).to.equal(1)
  })

  it('copy nothing while a server has the store open', async () => {
    const server = await testServer({ folder: data, store: 'level' })
    const copied = await tidemark(['copy', '--from', 'level:', '--to', `level:${join(await tempFolder(), 'log')}`, '--data', data])
    expect(copied.code).to.equal(1)
    expect(copied.stderr).to.include('in use by another process')
    await server.stop()
  })

  it('say what they did not understand, with exit code 2', async () => {
    for (const [args, sentence] of [
      [['verify', '--store', 'memory:'], /a store in memory cannot be read from here/],
      [['backup', 'x', '--store', 'memory:'], /a store in memory cannot be read from here/],
      [['restore', 'x', '--store', 'memory:'], /a store in memory cannot be restored into/],
      [['copy', '--from', 'memory:', '--to', 'level:x'], /a store in memory cannot be copied/],
      [['copy', '--from', 'level:x', '--to', 'level:x'], /name the same store/],
      [['unseal', '--store', 'memory:'], /a store in memory has no seal/],
      [['copy', '--to', 'level:x'], /required option '--from/],
      [['backup'], /missing required argument/],
    ] as const) {
      const { code, stderr } = await inProcess(args)
      expect(stderr).to.match(sentence)
      expect(code, args.join(' ')).to.equal(2)
    }
  })
})

function storeIn(data: string): LevelStore {
  return new LevelStore({ folder: join(data, 'log'), logger: silentLogger })
}

async function contentIn(data: string): Promise<string[]> {
  const store = storeIn(data)
  await store.open({ existing: true })
  const content = await contentOf(store)
  await store.close()
  return content
}
