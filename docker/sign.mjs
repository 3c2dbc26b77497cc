// Stands for your app in compose.yaml: signs a token for a user, as your back end would.
//   docker compose exec node-a node docker/sign.mjs alice [SPACE=read|write|own …]
import { SignJWT } from 'jose'

const [user, ...spaces] = process.argv.slice(2)
const [issuer] = JSON.parse(process.env.TIDEMARK_ISSUERS ?? '[]')
if (!user || !issuer?.secret) {
  process.stderr.write('usage: node docker/sign.mjs USER [SPACE=read|write|own …], with TIDEMARK_ISSUERS set\n')
  process.exit(2)
}
const token = await new SignJWT({ spaces: Object.fromEntries(spaces.map((space) => space.split('='))) })
  .setProtectedHeader({ alg: 'HS256' })
  .setIssuer(issuer.issuer)
  .setAudience(process.env.TIDEMARK_AUDIENCE ?? 'tidemark')
  .setSubject(user)
  .setIssuedAt()
  .setExpirationTime('1h')
  .sign(new TextEncoder().encode(issuer.secret))
process.stdout.write(`${token}\n`)
