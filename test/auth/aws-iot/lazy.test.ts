/** The AWS SDK takes a tenth of a second to load, which only those should wait for who use it. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { cleanEnvironment } from '../../support/server.ts'
import { root } from '../../support/source-files.ts'
import { tempFolder } from '../../support/temp.ts'
import { place, roleArn } from './support.ts'

describe('the AWS SDK', function () {
  this.timeout(120_000)

  it('is loaded by a server with awsIot and a role, and by no other', async () => {
    const awsIot = { ...place, endpoint: 'x.example' }
    expect(await loaded({})).to.equal(0)
    expect(await loaded({ awsIot: { ...awsIot, authorizer: 'acme-sync' } })).to.equal(0)
    expect(await loaded({ awsIot: { ...awsIot, roleArn } })).to.be.greaterThan(0)
  })

  it('is loaded by tidemark aws where it contacts AWS, and not for a plan', async () => {
    const plan = ['aws', 'plan', '--root', place.root, '--region', place.region, '--account', place.account]
    expect(await loadedBy(plan)).to.equal(0)
    expect(await loadedBy([...plan, '--compare'])).to.be.greaterThan(0)
  })
})

/** How many modules of AWS a command has loaded at its end; nobody answers it. */
async function loadedBy(args: readonly string[]): Promise<number> {
  const program = `
    import { createRequire } from 'node:module'
    import { main } from '${root}cli/main.ts'
    await main(JSON.parse(process.argv[1]))
    console.error('loaded', ${awsModules})`
  const env = { ...cleanEnvironment(), AWS_ENDPOINT_URL: 'http://127.0.0.1:1', AWS_ACCESS_KEY_ID: 'x', AWS_SECRET_ACCESS_KEY: 'y' }
  const words = ['--import', 'tsx', '--input-type=module', '-e', program, JSON.stringify(args)]
  const { stderr } = await promisify(execFile)(process.execPath, words, { cwd: root, env })
  return Number(/^loaded (\d+)$/m.exec(stderr)?.[1])
}

const awsModules =
  'Object.keys(createRequire(import.meta.url).cache).filter((path) => /node_modules.(@aws-sdk|@smithy)./.test(path)).length'

/** How many modules of AWS a server has loaded once it has started. */
async function loaded(settings: object): Promise<number> {
  const program = `
    import { createRequire } from 'node:module'
    import { startServer } from '${root}index.ts'
    const server = await startServer(JSON.parse(process.argv[1]))
    const modules = ${awsModules}
    await server.stop()
    console.log(modules)`
  const given = { data: await tempFolder(), store: 'memory:', mqttPort: 0, httpPort: 0, ...settings }
  const words = ['--import', 'tsx', '--input-type=module', '-e', program, JSON.stringify(given)]
  const { stdout } = await promisify(execFile)(process.execPath, words, { cwd: root, env: cleanEnvironment() })
  return Number(stdout)
}
