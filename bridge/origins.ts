/** Which hosts and web pages may talk to this server [P-10.27, P-10.28]. */
import type { IncomingMessage } from 'node:http'

export interface OriginRules {
  readonly developmentMode: boolean
  readonly corsOrigins: readonly string[]
  readonly allowedHosts?: readonly string[] | undefined
}

const loopbackNames: readonly string[] = ['localhost', '127.0.0.1', '[::1]']

/** Judges `Host` and `Origin` of requests and of WebSocket upgrades. */
export class Origins {
  readonly #configured: ReadonlySet<string>
  readonly #hosts: ReadonlySet<string> | undefined

  constructor({ developmentMode, corsOrigins, allowedHosts }: OriginRules) {
    // In development mode nothing but this machine's own pages: a page that rebinds its name to loopback gets nothing.
    this.#configured = new Set(developmentMode ? [] : corsOrigins)
    const hosts = developmentMode ? loopbackNames : allowedHosts
    this.#hosts = hosts && new Set(hosts.map((host) => host.toLowerCase()))
  }

  /** Why the request is refused as `forbidden`, in a sentence; undefined where it may pass. */
  problemOf({ headers }: Pick<IncomingMessage, 'headers'>): string | undefined {
    const { host, origin } = headers
    if (this.#hosts && !this.#hosts.has(nameOf(host ?? ''))) return 'the Host header names no host of this server'
    if (origin === undefined || this.#configured.has(origin) || isSameHost(origin, host)) return undefined
    return 'pages of this Origin may not use this server'
  }
}

/** A host without its port, in lower case; empty where it is no host. */
function nameOf(host: string): string {
  return /^(\[[0-9a-f:.]+\]|[^:@/\\?#\s[\]]+)(:[0-9]{1,5})?$/i.exec(host)?.[1]?.toLowerCase() ?? ''
}

function isSameHost(origin: string, host: string | undefined): boolean {
  if (host === undefined || !/^https?:\/\/[^/\\@?#]+$/i.test(origin) || !URL.canParse(origin)) return false
  const { protocol, host: asked } = new URL(origin)
  // Through a URL, so that a default port counts as none.
  const own = `${protocol}//${host}`
  return nameOf(host) !== '' && URL.canParse(own) && new URL(own).host === asked
}
