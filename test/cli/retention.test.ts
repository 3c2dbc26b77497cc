/** Retention in a running server: configured, counted, and noticed by readers. */
import { expect } from 'chai'
import { testServer, type TestServer } from '../support/server.ts'
import { within } from '../support/waiting.ts'

describe('a server with retention', () => {
  let server: TestServer | undefined

  afterEach(() => server?.stop())

  it('[P-2.19], [P-11.26], [P-11.30] trims by itself, tells readers behind it, keeps the state, and counts its work', async () => {
    const settings = { retention: { users: { entries: 3 } }, limits: { retentionSweepMs: 5 } }
    server = await testServer({ settings })
    const { http } = server.urls
    const authorization = `Bearer ${await server.token('alice')}`
    const headers = { authorization, 'content-type': 'application/json' }
    const streams = `${http}/v1/streams/users/alice`
    const positions: string[] = []
    const follower = await server.running.log.follow('users/alice', { moved: () => look() })
    let look = (): void => {}
    const trimmed = new Promise<void>((resolve) => {
      look = () => void (follower.first === 8 && resolve())
    })
    for (let number = 1; number <= 10; number++) {
      const body = JSON.stringify({ topic: number === 1 ? 'kept' : 'other', text: `m${number}`, retain: true })
      const answer = await fetch(`${streams}/entries`, { method: 'POST', headers, body })
      positions.push(((await answer.json()) as { pos: string }).pos)
    }
    await within(trimmed, 'the stream to be trimmed')
    const behind = await fetch(`${streams}/entries?after=${positions[2]}`, { headers })
    expect(behind.status).to.equal(410)
    expect(await behind.json()).to.include({ code: 'trimmed', first: positions[7], head: positions[9] })
    const rest = (await (await fetch(`${streams}/entries?after=earliest`, { headers })).json()) as { entries: { text: string }[] }
    expect(rest.entries.map(({ text }) => text)).to.deep.equal(['m8', 'm9', 'm10'])
    const state = (await (await fetch(`${streams}/state`, { headers })).json()) as { entries: { text: string }[] }
    expect(state.entries.map(({ text }) => text)).to.deep.equal(['m1', 'm10'])
    const metrics = await (await fetch(`${http}/metrics`, { headers })).text()
    expect(metrics).to.match(/^tidemark_retention_trimmed_entries_total 7$/m)
    expect(metrics).to.match(/^tidemark_retention_trims_total [1-9]/m)
    expect(metrics).to.match(/^tidemark_retention_looks_total [1-9]/m)
    expect(metrics).to.match(/^tidemark_retention_held_total 0$/m)
  })
})
