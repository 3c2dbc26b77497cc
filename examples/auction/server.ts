/** The auction's own back end: people log in and get a token of the app; the house opens and closes. All bids go to Tidemark. */
import { startServer } from 'tidemark'
import { openBackend } from '../shared/backend.ts'
import { openHouse } from './house.ts'
import { house, streamName, topic } from './rules.ts'
import { Watchers } from './watchers.ts'

const { PORT = '3001', DATA = './data/auction', MINUTES = '10' } = process.env
/** Who may close a lot before its time, and open the next one. A real app keeps that in its database. */
const auctioneer = 'auctioneer'

const app = await openBackend({ issuer: 'https://auction.example.org', port: Number(PORT), folder: new URL('.', import.meta.url) })
const tidemark = await startServer({
  data: DATA,
  mqttPort: 0,
  httpPort: 0,
  corsOrigins: [app.origin],
  // The app names the very topic that may be bid on, so it writes grants and not only levels of spaces.
  issuers: [{ ...app.trust, mayGrant: true }],
})
const { httpUrl, mqttUrl } = tidemark.addresses
const ownGrants = [`subscribe:${streamName}/#`, `publish:${streamName}/#`]
const auctionHouse = await openHouse({
  httpUrl,
  mqttUrl,
  minutes: Number(MINUTES),
  getToken: () => app.tokenOf(house, { grants: ownGrants }),
})
const watchers = new Watchers((count) => auctionHouse.tellWatching(count))

app.serve(tidemark.addresses, async (path, { name = '', page = '' }) => {
  switch (path) {
    // A real app asks for a password, and keeps a session of its own.
    case '/login':
      return { token: await app.tokenOf(name, { grants: grantsOf(name) }), url: httpUrl, mayClose: name === auctioneer }
    case '/watching':
      if (page.length <= 64) watchers.seen(page)
      return { count: watchers.count }
    case '/left':
      watchers.left(page)
      return {}
    case '/close':
      if (name === auctioneer) await auctionHouse.close()
      return {}
    case '/open':
      if (name === auctioneer) await auctionHouse.open()
      return {}
    default:
      return undefined
  }
})

/** Everybody may watch and bid, and nobody may be the house. */
function grantsOf(name: string): string[] {
  if (!/^[\w-]{1,32}$/.test(name) || name === house) throw new Error('a name is 1 to 32 letters, digits, _ and -')
  return [`subscribe:${streamName}/#`, `publish:${streamName}/${topic}`]
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    app.close()
    watchers.stop()
    void auctionHouse.stop().then(() => tidemark.stop())
  })
}
console.log(`auction ready ${app.origin}  (log in by any name; as ${auctioneer} you may close the lot and open the next)`)
