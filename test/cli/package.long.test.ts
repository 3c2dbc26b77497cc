import { expect } from 'chai'
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { publint } from 'publint'
import { cleanEnvironment } from '../support/server.ts'
import { tempFolder } from '../support/temp.ts'
import { bytesOf, complaints, installBeside } from './package-consumer.ts'
import { tidemark } from './run.ts'

const run = promisify(execFile)
const npm = (args: readonly string[], cwd: string): Promise<unknown> => run('npm', args, { cwd, env: cleanEnvironment() })
const checkout = new URL('../..', import.meta.url).pathname

describe('npx tidemark', function () {
  this.timeout(300_000)
  let tarball = ''

  before(async () => {
    const folder = await tempFolder()
    // The checkout's .npmrc switches scripts off, and with them the build before packing.
    await npm(['run', 'build'], checkout)
    await npm(['pack', '--pack-destination', folder], checkout)
    tarball = join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? 'none')
  })

  it('works in the checkout, without a build', async () => {
    const folder = await tempFolder()
    const { stdout } = await run('npx', ['tidemark', 'token', 'alice', '--data', folder], { cwd: checkout, env: cleanEnvironment() })
    expect(stdout).to.match(/^[\w-]+\.[\w-]+\.[\w-]+\n$/)
  })

  it('works from the packed tarball in an empty folder, and so does the library', async function () {
    const folder = await tempFolder()
    try {
      await npm(['install', '--prefer-offline', '--no-audit', '--no-fund', tarball], folder)
    } catch (error) {
      const { stderr } = error as { stderr: string }
      if (process.env['CI'] !== undefined || !/ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN/.test(stderr)) throw error
      console.error('SKIPPED: the packed tarball was not tried, because the registry cannot be reached')
      this.skip()
    }
    const installed = { cwd: folder, command: ['npx', 'tidemark'] }

    const token = await tidemark(['token', 'alice'], installed)
    expect(token.code, token.stderr).to.equal(0)
    expect(token.stdout).to.match(/^[\w-]+\.[\w-]+\.[\w-]+\n$/)
    const { stdout: markdown } = await tidemark(['check-config', '--markdown'], installed)
    expect(markdown === readFileSync(join(checkout, 'docs', 'CONFIGURATION.md'), 'utf8')).to.equal(true)
    const account = await tidemark(['aws', 'plan', '--root', 'acme', '--region', 'eu-west-1', '--account', '123456789012'], installed)
    expect(account.stdout, account.stderr).to.match(/\n\d+ to add\.\n$/)
    const terraform = await tidemark(['aws', 'terraform', 'module'], installed)
    expect(terraform.code, terraform.stderr).to.equal(0)
    expect(readdirSync(join(folder, 'module'))).to.include.members(['main.tf', 'authorizer.mjs'])
    const usage = await tidemark(['serve', '--nonsense'], installed)
    expect(usage.code).to.equal(2)

    const program = `
      import { startServer, parsePosition } from 'tidemark'
      import { aedesHooks, Authority, MemoryDocuments } from 'tidemark/auth'
      import { connect } from 'tidemark/client'
      import { levelOutbox } from 'tidemark/client/node'
      const server = await startServer({ data: 'data', mqttPort: 0, httpPort: 0 })
      const headers = { authorization: 'Bearer ' + process.argv[2], 'content-type': 'application/json' }
      const url = server.addresses.httpUrl + '/v1/streams/users/alice/entries'
      const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ topic: 'x', text: 'hello' }) })
      console.log(answer.status, parsePosition((await answer.json()).pos).seq)
      const page = await (await fetch(server.addresses.httpUrl, { headers: { accept: 'text/html' } })).text()
      const script = await fetch(server.addresses.httpUrl + /src="([^"]+)"/.exec(page)[1])
      console.log(script.status, (await script.text()).length > 1000)
      const client = connect({ url: server.addresses.httpUrl, getToken: () => process.argv[2], outbox: levelOutbox('outbox') })
      const { id } = await client.stream('users/alice').publish('y', { n: 1 })
      const reader = client.stream('users/alice').entries({ from: 'earliest' })
      await reader.next()
      console.log((await reader.next()).value.id === id, client.status.get().outbox)
      await client.close()
      await server.stop()
      const config = { issuers: [], dataFolder: 'data', audience: 'tidemark', mqttUrl: 'mqtt://x', httpUrl: 'http://x', anonymous: false, openEnabled: false }
      const authority = await Authority.open(config, { documents: new MemoryDocuments() })
      console.log(Object.keys(aedesHooks(authority, { openEnabled: false })).length, 'hooks')
      await authority.close()`
    writeFileSync(join(folder, 'program.mjs'), program)
    const { stdout } = await run(process.execPath, ['program.mjs', token.stdout.trim()], { cwd: folder, env: cleanEnvironment() })
    expect(stdout).to.equal('201 1\n200 true\ntrue durable\n4 hooks\n')
  })

  it('is a package as publint wants it', async () => {
    const { messages } = await publint({ pack: { tarball: bytesOf(tarball).buffer }, strict: true })
    expect(messages).to.deep.equal([])
  })

  it('has types where every resolver of modules looks for them', async () => {
    const analysis = await checkPackage(createPackageFromTarballData(bytesOf(tarball)))
    if (!analysis.types) throw new Error('there are no types')
    expect(Object.keys(analysis.entrypoints)).to.include.members(['.', './auth', './protocol', './client', './client/encryption'])
    // Who knows no `exports`, and who has `require` only, is told to update: every Node that the package allows knows both.
    const told = analysis.problems.filter(
      (problem) => !('resolutionKind' in problem && ['node10', 'node16-cjs'].includes(problem.resolutionKind)),
    )
    expect(told).to.deep.equal([])
  })

  for (const resolution of ['nodenext', 'bundler'] as const) {
    it(`has exact types for an app with ${resolution} resolution`, async () => {
      const folder = await tempFolder()
      installBeside(tarball, folder, checkout)
      expect(complaints(folder, resolution)).to.deep.equal([])
    })
  }
})
