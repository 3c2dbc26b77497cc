/** Where the server is, from what the app says. */
import { ClientError } from './errors.ts'

export interface Address {
  /** Without a slash at the end. */
  readonly httpUrl: string
  /** MQTT over WebSocket [P-7.21]. */
  readonly mqttUrl: string
}

/** Reads `https://host`, `wss://host` and their plain forms. Throws `bad-request` for everything else, with what to write instead. */
export function addressOf(text: string): Address {
  const refuse = (found: string): ClientError => {
    const wanted = 'write the server alone, as https://sync.example.com or wss://sync.example.com'
    return new ClientError('bad-request', `connect({ url }) has ${found}: ${wanted}`)
  }
  if (typeof text !== 'string' || !URL.canParse(text)) throw refuse(`no address of a server, ${JSON.stringify(text)}`)
  const { protocol, host, pathname, search, hash, username, password } = new URL(text)
  const scheme = /^(?:http|ws)(s?):$/.exec(protocol)
  if (!scheme) throw refuse(`the scheme ${protocol}//`)
  if (username || password) throw refuse('a user name or password')
  if (pathname !== '/' || search || hash) throw refuse(`the path ${pathname}${search}${hash}`)
  return { httpUrl: `http${scheme[1]}://${host}`, mqttUrl: `ws${scheme[1]}://${host}/mqtt` }
}
