/** A plain aedes broker that lets in who shows a token, and lets each do what the token grants. */
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { Aedes } from 'aedes'
import { aedesHooks, Authority, loadDevelopmentKey, MemoryDocuments, mintDevelopmentToken } from 'tidemark/auth'

const { PORT = '1884', DATA = './data' } = process.env
const audience = 'tidemark'

const authority = await Authority.open(
  {
    // Development: whoever can read {DATA}/dev-key can make tokens. In earnest name who signs your app's tokens:
    // issuers: [{ issuer: 'https://app.example.org', algorithms: ['RS256'], jwksUrl: 'https://app.example.org/jwks.json' }],
    issuers: [],
    dataFolder: DATA,
    audience,
    mqttUrl: `mqtt://localhost:${PORT}`,
    httpUrl: 'http://localhost',
    anonymous: false,
    openEnabled: false,
  },
  // Revocations are kept as long as the process lives; with Documents of your own, for as long as they must be.
  { documents: new MemoryDocuments() },
)

const aedes = await Aedes.createBroker(aedesHooks(authority, { openEnabled: false }))
const server = createServer((socket) => void aedes.handle(socket)).listen(Number(PORT), '127.0.0.1')
await once(server, 'listening')

const { port } = server.address() as AddressInfo
const token = await mintDevelopmentToken({ key: await loadDevelopmentKey(DATA), audience, name: 'alice' })
console.log(`
  TOKEN=${token}
  mosquitto_sub -p ${port} -u alice -P "$TOKEN" -t 'users/alice/#' -v &
  mosquitto_pub -p ${port} -q 1 -u alice -P "$TOKEN" -t users/alice/notes/1 -m hello

aedes ready mqtt=127.0.0.1:${port}`)
