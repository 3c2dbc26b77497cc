/** `tidemark` over a MongoDB that asks for a password: a FerretDB of our own, since somebody else's may ask for none. */
import { expect } from 'chai'
import { childServer, type ChildServer } from '../support/server.ts'
import { startMongo, type TestMongo } from '../support/mongo/server.ts'
import { tempFolder } from '../support/temp.ts'
import { tidemark } from './run.ts'

const [user, password] = ['tide', 'hush-hush/%']

describe('tidemark over MongoDB', function () {
  this.timeout(120_000)
  let mongo: TestMongo
  const children: ChildServer[] = []

  before(async function () {
    const flags = ['--test-enable-new-auth', `--setup-username=${user}`, `--setup-password=${password}`, '--setup-database=admin']
    mongo = await startMongo(this, { flags })
  })

  afterEach(() => Promise.all(children.splice(0).map((child) => child.kill('SIGKILL'))))
  after(() => mongo?.stop())

  function storeUrl(given = password): string {
    return mongo
      .freshUrl()
      .replace('//', `//${user}:${encodeURIComponent(given)}@`)
      .replace('?', '?authSource=admin&')
  }

  async function serve(store: string, folder?: string): Promise<ChildServer> {
    const child = await childServer({ env: { TIDEMARK_STORE: store }, ...(folder === undefined ? {} : { folder }) })
    children.push(child)
    return child
  }

  async function publish({ urls }: ChildServer, token: string, text: string): Promise<number> {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const body = JSON.stringify({ id: text, topic: 'users/alice/x', text })
    return (await fetch(`${urls.http}/v1/streams/users/alice/entries`, { method: 'POST', headers, body })).status
  }

  async function history({ urls }: ChildServer, token: string): Promise<string[]> {
    const headers = { authorization: `Bearer ${token}` }
    const page = (await (await fetch(`${urls.http}/v1/streams/users/alice/entries`, { headers })).json()) as { entries: { text: string }[] }
    return page.entries.map(({ text }) => text)
  }

  it('[P-8.5] [P-8.6] what one node acknowledged is there after its death, on every node, and may be trimmed meanwhile', async () => {
    const store = storeUrl()
    const one = await serve(store)
    const token = await one.token('alice')
    for (const text of ['a', 'b', 'c']) expect(await publish(one, token, text)).to.equal(201)
    const two = await serve(store, one.folder)
    await one.kill('SIGKILL')
    expect(await history(two, token)).to.deep.equal(['a', 'b', 'c'])
    expect(await publish(two, token, 'c')).to.equal(200)
    await one.start()
    expect(await publish(two, token, 'd')).to.equal(201)
    expect(await history(one, token)).to.deep.equal(['a', 'b', 'c', 'd'])

    const trimmed = await tidemark(['trim', 'users/alice', '--before', '3'], { env: { TIDEMARK_STORE: store }, cwd: await tempFolder() })
    expect(trimmed.stdout).to.match(/^users\/alice begins at [\w-]{8}\.3\.[\w-]{4}\n$/)
    expect(await history(two, token)).to.deep.equal(['c', 'd'])
    for (const { stdout, stderr } of [one, two, trimmed]) expect(`${stdout}${stderr}`).to.not.match(/hush/)
    expect(two.stdout).to.include('store      mongodb://********@127.0.0.1:')
    expect(two.stderr).to.include('no replica set')
  })

  it('does not start with a wrong password, or where --strict is not met, and says why in a line', async () => {
    for (const { args, store, why } of [
      { args: [], store: storeUrl('hush-wrong'), why: /authentication failed/i },
      { args: ['--strict'], store: storeUrl(), why: /no replica set/ },
    ]) {
      const ended = await tidemark(['serve', '--mqtt-port', '0', '--http-port', '0', ...args], {
        env: { TIDEMARK_STORE: store },
        cwd: await tempFolder(),
      })
      expect(ended.code).to.equal(1)
      expect(ended.stderr).to.match(why).and.not.match(/hush/)
      expect(ended.stderr.trimEnd().split('\n').at(-1)).to.match(/^tidemark: /)
    }
  })
})
