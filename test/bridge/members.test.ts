/** `DELETE …/members/{uid}`, and what a withdrawn member can read and publish over HTTP. */
import { expect } from 'chai'
import { append, ask, history, makeWorld, seqOf, type World } from './support.ts'

const board = '/v1/streams/spaces/board'

describe('bridge: members', () => {
  let world: World
  beforeEach(async () => {
    world = await makeWorld()
    await append(world, 'spaces/board', [{ topic: 'spaces/board/a', payload: 'one', retain: true }])
  })
  afterEach(() => world.close())

  const withdraw = (uid = 'bob', token = 'carol', stream = board) => ask(world, `${stream}/members/${uid}`, { method: 'DELETE', token })

  it('200 with the place of the entry that withdraws, which members see on $acl [P-16.1] [P-11.35]', async () => {
    const { status, body } = await withdraw()
    expect(status).to.equal(200)
    expect(body).to.have.all.keys('id', 'pos')
    const { entries } = await history(world, '', `${board}/entries`, 'carol')
    expect(entries.at(-1)).to.include({ pos: body['pos'], id: body['id'], topic: 'spaces/board/$acl', from: 'carol' })
    expect(entries.at(-1)).to.have.deep.property('data', { withdrawn: 'bob' })
    expect(seqOf(body['pos'] as string)).to.equal(2)
  })

  it('is for owners of the whole space, and for spaces only [P-16.1] [P-10.11]', async () => {
    const refused: [Promise<{ status: number; body: Record<string, unknown> }>, number, string][] = [
      [withdraw('carol', 'bob'), 403, 'forbidden'],
      [withdraw('bob', 'reader'), 403, 'forbidden'],
      [withdraw('bob', 'carol', '/v1/streams/spaces/other'), 403, 'forbidden'],
      [withdraw('bob', 'alice', '/v1/streams/users/alice'), 404, 'not-found'],
      [withdraw('b%20ob'), 400, 'bad-topic'],
      [ask(world, `${board}/members/bob`, { method: 'DELETE' }), 401, 'unauthorized'],
    ]
    for (const [answer, status, code] of refused) {
      const { status: got, body } = await answer
      expect([got, body['code']]).to.deep.equal([status, code])
    }
    expect((await world.log.stream('spaces/board')).headSeq).to.equal(1)
  })

  it('history, state and publishing are forbidden to the withdrawn, until a later token [P-16.3] [P-16.4] [P-16.6]', async () => {
    await withdraw()
    const asked = async (): Promise<(number | undefined)[]> => {
      const answers = [
        await ask(world, `${board}/entries`, { token: 'bob' }),
        await ask(world, `${board}/entries?limit=0`, { token: 'bob' }),
        await ask(world, `${board}/state`, { token: 'bob' }),
        await ask(world, `${board}/entries`, { token: 'bob', json: { topic: 'a', text: 'x' } }),
      ]
      return answers.map(({ status }) => status)
    }
    expect(await asked()).to.deep.equal([403, 403, 403, 403])
    expect((await world.log.stream('spaces/board')).headSeq).to.equal(2)
    world.clock.ms += 1
    expect(await asked()).to.deep.equal([200, 200, 200, 201])
  })

  it('a page that is read while its reader is withdrawn is not shown [P-16.2]', async () => {
    const { log } = world
    const confirm = log.confirmHead.bind(log)
    log.confirmHead = async (stream) => {
      log.confirmHead = confirm
      await withdraw()
      await append(world, 'spaces/board', [{ topic: 'spaces/board/a', payload: 'secret' }], 'carol')
      await confirm(stream)
    }
    const { status, text } = await ask(world, `${board}/entries`, { token: 'bob' })
    expect(status).to.equal(403)
    expect(text).to.not.include('secret')
  })

  it('an owner who was withdrawn withdraws nobody [P-16.4]', async () => {
    await withdraw('carol')
    const { status, body } = await withdraw('bob')
    expect([status, body['code']]).to.deep.equal([403, 'forbidden'])
  })
})
