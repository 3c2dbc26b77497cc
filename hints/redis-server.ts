/** Where Redis is, from a URL; without the client library, which is loaded only where Redis is used. */
import type { RedisOptions } from 'ioredis'

export type RedisServer = Pick<RedisOptions, 'host' | 'port' | 'username' | 'password' | 'tls'>

/** From `redis://user:password@host:port`; `rediss:` is TLS. Throws for what is none. */
export function redisServer(url: string): RedisServer {
  const { protocol, hostname, port, username, password } = new URL(url)
  return {
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: port === '' ? 6379 : Number(port),
    ...(username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
    ...(protocol === 'rediss:' ? { tls: {} } : {}),
  }
}
