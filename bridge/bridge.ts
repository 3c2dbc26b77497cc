/** The bridge: the log over HTTP [P-11.1]. */
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buildApplication } from './application.ts'
import { EventStreams } from './event-streams.ts'
import type { App, BridgeParts, RouteParts } from './parts.ts'

export class Bridge {
  readonly #app: App
  readonly #life: RouteParts['life']
  readonly #events: EventStreams

  /** Builds the routes; nothing listens yet. */
  static async open(parts: BridgeParts): Promise<Bridge> {
    const life = { stopping: false }
    const rules = { ...parts.limits, openEnabled: parts.openEnabled }
    const events = new EventStreams(parts)
    const app = await buildApplication({ ...parts, rules, life, events })
    app.server.maxConnections = parts.limits.connectionsPerListenerMax
    app.server.on('drop', () => parts.metrics.refused('http', 'too-many-requests'))
    return new Bridge(app, life, events)
  }

  private constructor(app: App, life: RouteParts['life'], events: EventStreams) {
    this.#app = app
    this.#life = life
    this.#events = events
  }

  /** Resolves with the port taken; port 0 takes a free one. Rejects where the port is in use. */
  async listen(at: { host: string; port: number }): Promise<number> {
    await this.#app.listen(at)
    return (this.server.address() as AddressInfo).port
  }

  /** Whoever takes its `upgrade` owns those connections, and ends them before `close` can resolve. */
  get server(): Server {
    return this.#app.server
  }

  /** Event streams open now, and what their readers have not read yet. */
  stats(): { readonly eventStreams: number; readonly eventUnsentBytes: number } {
    return this.#events.stats()
  }

  /** Takes no more requests, finishes those under way, ends event streams, closes the connections. What comes meanwhile is refused as `stopping`. */
  async close(): Promise<void> {
    this.#life.stopping = true
    await this.#events.close()
    await this.#app.close()
  }
}
