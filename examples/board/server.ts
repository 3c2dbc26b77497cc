/** The board's own back end: people log in, and get a token of the app. Everything else is between the page and Tidemark. */
import { startServer } from 'tidemark'
import { openBackend } from '../shared/backend.ts'
import { moreSettings } from '../shared/settings.ts'

const { PORT = '3000', DATA = './data/board' } = process.env
const board = 'board-7'
/** Who sits at the board. A real app keeps that in its database. */
const members = new Map<string, 'own' | 'write'>([
  ['alice', 'own'],
  ['bob', 'write'],
])

const app = await openBackend({ issuer: 'https://board.example.org', port: Number(PORT), folder: new URL('.', import.meta.url) })
const tidemark = await startServer({
  ...(await moreSettings()),
  data: DATA,
  mqttPort: 0,
  httpPort: 0,
  corsOrigins: [app.origin],
  issuers: [app.trust],
})
const { httpUrl } = tidemark.addresses

app.serve(tidemark.addresses, async (path, { name = '', member }) => {
  switch (path) {
    // A real app asks for a password, and keeps a session of its own.
    case '/login':
      return { token: await tokenOf(name), url: httpUrl, board, level: members.get(name) ?? 'none' }
    case '/members':
      if (members.get(name) === 'own' && member) members.set(member, 'write')
      return { members: [...members.keys()] }
    // Whoever owns the board withdraws the member with Tidemark: from that place in the log on nothing reaches them.
    case '/withdraw':
      if (members.get(name) === 'own' && member && members.get(member) === 'write') members.delete(member)
      return { members: [...members.keys()] }
    default:
      return undefined
  }
})

/** Which boards they may read, write or own. */
function tokenOf(name: string): Promise<string> {
  const level = members.get(name)
  return app.tokenOf(name, level ? { spaces: { [board]: level } } : {})
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    app.close()
    void tidemark.stop()
  })
}
console.log(`board ready ${app.origin}  (log in as alice, who owns it, or as bob)`)
