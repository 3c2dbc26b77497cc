import { createSecretKey } from 'node:crypto'
import { once } from 'node:events'
import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { spawn } from 'node:child_process'
import { expect } from 'chai'
import { loadDevelopmentKey, mintDevelopmentToken } from '../../auth/index.ts'
import { audience, closeAll, developmentSetting, mint, open, refusal, secret, sign, startMs, temporaryFolder } from './support.ts'

describe('development mode', () => {
  afterEach(closeAll)

  it('is where no issuer is configured', async () => {
    const { setting } = await developmentSetting()
    expect((await open(setting)).authority.developmentMode).to.equal(true)
    expect((await open()).authority.developmentMode).to.equal(false)
  })

  it('accepts minted tokens, with spaces, grants and tap', async () => {
    const { setting, key } = await developmentSetting()
    const { authority } = await open(setting)
    const token = await mint(key, 'Ada L', { spaces: { 'board-7': 'own' }, grants: ['ops:revoke'], tap: true, ttlMs: 60_000 })
    const principal = await authority.authenticate(token, 'phone')
    expect(principal).to.include({ uid: 'Ada=20L', kind: 'development', expiresAtMs: Math.floor(startMs / 1000) * 1000 + 60_000 })
    expect(principal.grants.allows('own', 'spaces/board-7/x')).to.equal(true)
    expect(principal.grants.has('tap')).to.equal(true)
    expect(principal.grants.has('ops:revoke')).to.equal(true)
    expect(principal.grants.has('ops:erase')).to.equal(false)
  })

  it('refuses tokens of other keys, audiences and issuers', async () => {
    const { setting, key } = await developmentSetting()
    const { authority } = await open(setting)
    const other = createSecretKey(Buffer.alloc(32, 1))
    await refusal(authority.authenticate(await mint(other, 'ada'), undefined), 'unauthorized', /signature/)
    await refusal(authority.authenticate(await mint(key, 'ada', { audience: 'other' }), undefined), 'unauthorized', /audience/)
    await refusal(authority.authenticate(await sign(), undefined), 'unauthorized', /no issuer is configured/)
    const dressed = await sign({ key, header: { typ: 'tidemark-dev+jwt' } })
    await refusal(authority.authenticate(dressed, undefined), 'unauthorized', /another issuer/)
    await refusal(authority.authenticate(await mint(key, 'ada', { now: startMs - 3_600_000 }), undefined), 'token-expired', /expired/)
  })

  it('ends where an issuer is configured: its tokens are refused with the reason [P-10.28]', async () => {
    const { authority } = await open()
    const token = await mint(createSecretKey(secret, 'utf8'), 'alice')
    await refusal(authority.authenticate(token, undefined), 'unauthorized', /refused because an issuer is configured/)
  })

  it('mints nothing that would be refused', async () => {
    const key = createSecretKey(Buffer.alloc(32))
    const attempt = (more: object) => mintDevelopmentToken({ key, audience, name: 'ada', ...more })
    await refusal(attempt({ name: '' }), 'bad-request', /name/)
    await refusal(attempt({ name: '\udfff' }), 'bad-request', /name/)
    await refusal(attempt({ ttlMs: 25 * 3_600_000 }), 'bad-request', /24 h/)
    await refusal(attempt({ ttlMs: NaN }), 'bad-request', /24 h/)
    await refusal(attempt({ spaces: { 'a/b': 'read' } }), 'bad-request', /canonical/)
    await refusal(attempt({ spaces: { a: 'admin' } }), 'bad-request', /neither read/)
    await refusal(attempt({ grants: ['publish:#'] }), 'bad-request', /publish:#/)
  })

  it('admits clients without credentials to the open stream alone, where both are turned on [P-1.29]', async () => {
    const { setting } = await developmentSetting({ anonymous: true, openEnabled: true })
    const { authority, clock } = await open(setting)
    const principal = await authority.authenticate(undefined, 'lamp')
    expect(principal).to.include({ uid: '~anonymous', kind: 'anonymous' })
    expect([...principal.grants.texts]).to.deep.equal(['publish:open/-/#', 'subscribe:open/-/#', 'subscribe:reply/lamp/#'])
    expect(principal.expiresAtMs).to.be.greaterThan(clock.now())
    for (const config of [{ anonymous: true }, { openEnabled: true }]) {
      const other = await open((await developmentSetting(config)).setting)
      await refusal(other.authority.authenticate(undefined, 'lamp'), 'unauthorized', /a token is needed/)
    }
  })
})

describe('the development key', () => {
  afterEach(closeAll)

  it('is one and the same for all who ask at once, readable by its owner only, and leaves nothing behind', async () => {
    const folder = join(await temporaryFolder(), 'made', 'on the way')
    const keys = await Promise.all(Array.from({ length: 20 }, () => loadDevelopmentKey(folder)))
    expect(new Set(keys.map((key) => key.export().toString('hex'))).size).to.equal(1)
    expect(keys[0]?.export()).to.have.lengthOf(32)
    expect((await stat(join(folder, 'dev-key'))).mode & 0o777).to.equal(0o600)
    expect(await readdir(folder)).to.deep.equal(['dev-key'])
  })

  it('is the same for processes that race', async () => {
    const folder = await temporaryFolder()
    const program = `import { loadDevelopmentKey } from './auth/development.ts'
      process.stdin.once('data', () => void loadDevelopmentKey(process.argv[1]).then((key) => {
        process.stdout.write(key.export().toString('hex'))
        process.stdin.destroy()
      }))
      process.stderr.write('ready')`
    const children = Array.from({ length: 3 }, () =>
      spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program, folder]),
    )
    const outputs = children.map((child) => {
      let text = ''
      child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
      return once(child, 'close').then(() => text)
    })
    await Promise.all(children.map((child) => once(child.stderr, 'data')))
    for (const child of children) child.stdin.write('go')
    const keys = await Promise.all(outputs)
    expect(keys[0]).to.match(/^[0-9a-f]{64}$/)
    expect(new Set(keys).size).to.equal(1)
  })

  it('that others may read, or that is broken, is refused with what to do', async () => {
    const folder = await temporaryFolder()
    const path = join(folder, 'dev-key')
    await loadDevelopmentKey(folder)
    await chmod(path, 0o644)
    await refusal(loadDevelopmentKey(folder), 'bad-request', /may be read by others: remove it/)
    const text = await readFile(path, 'utf8')
    await chmod(path, 0o600)
    for (const broken of ['', 'short\n', `${text.trim()}AAAA\n`, '!'.repeat(43)]) {
      await writeFile(path, broken)
      await refusal(loadDevelopmentKey(folder), 'bad-request', /holds no key: remove it/)
    }
  })
})

describe('the secret of the console', () => {
  afterEach(closeAll)

  it('[P-19.4] brings a token of any user for one hour, and is another one at each start', async () => {
    const { setting } = await developmentSetting()
    const { authority } = await open(setting)
    const other = await open(setting)
    const consoleSecret = authority.consoleSecret as string
    expect(consoleSecret).to.match(/^[\w-]{22}$/)
    expect(other.authority.consoleSecret).to.not.equal(consoleSecret)
    const token = await authority.mintForConsole(consoleSecret, { name: 'Ada L', spaces: { 'board-7': 'write' } })
    const principal = await authority.authenticate(token, 'tab')
    expect(principal).to.include({ uid: 'Ada=20L', expiresAtMs: Math.floor(startMs / 1000) * 1000 + 3_600_000 })
    expect(principal.grants.allows('publish', 'spaces/board-7/x')).to.equal(true)
    expect(principal.grants.has('tap')).to.equal(false)
    for (const wrong of [other.authority.consoleSecret as string, '', consoleSecret.slice(1), `${consoleSecret}x`])
      await refusal(authority.mintForConsole(wrong, { name: 'alice' }), 'forbidden', /printed/)
    await refusal(authority.mintForConsole(consoleSecret, { name: '\udfff' }), 'bad-request', /name/)
    await refusal(authority.mintForConsole(consoleSecret, { name: 'alice', spaces: { 'a/b': 'read' } }), 'bad-request', /canonical/)
  })

  it('[P-19.4] is not there where an issuer is configured', async () => {
    const { authority } = await open()
    expect(authority.consoleSecret).to.equal(undefined)
    await refusal(authority.mintForConsole('', { name: 'alice' }), 'forbidden', /issuer/)
    await refusal(authority.mintForConsole('undefined', { name: 'alice' }), 'forbidden', /issuer/)
  })
})
