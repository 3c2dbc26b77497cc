/** A link with a server, a network and a clock that are played. */
import { addressOf } from '../../client/address.ts'
import { bounds } from '../../client/bounds.ts'
import { Choice } from '../../client/choice.ts'
import { Credentials } from '../../client/credentials.ts'
import { ClientError } from '../../client/errors.ts'
import { Link, type LinkStatus } from '../../client/link.ts'
import { settle, SimTimers, SimTransport } from './sim.ts'

/** A link with everything around it, and what it told. */
export class World {
  readonly timers = new SimTimers()
  readonly mqtt = new SimTransport('mqtt', this.timers)
  readonly http = new SimTransport('http', this.timers)
  readonly told: string[] = []
  readonly statuses: LinkStatus[] = []
  /** When getToken was called. */
  readonly askedMs: number[] = []
  /** What the app's getToken does, and what the server says to its token. */
  getToken: () => Promise<string> | string = () => `app-${this.askedMs.length}`
  exchange: (token: string) => Response | Promise<Response> = () => this.granted(3_600)
  wake: () => void = () => {}
  readonly credentials: Credentials
  readonly link: Link

  constructor(transports: 'mqtt' | 'auto' = 'mqtt') {
    const { timers } = this
    const fetch = async (_url: unknown, init: RequestInit): Promise<Response> => {
      return this.exchange((init.body as URLSearchParams).get('subject_token') ?? '')
    }
    const surroundings = { timers, bounds, fetch: fetch as unknown as typeof globalThis.fetch }
    this.credentials = new Credentials({
      ...surroundings,
      address: addressOf('https://sync.example.com'),
      clientId: 'web-1',
      getToken: () => {
        this.askedMs.push(timers.now())
        return this.getToken()
      },
    })
    this.link = new Link({
      ...surroundings,
      credentials: this.credentials,
      choice: new Choice(transports === 'auto' ? [this.mqtt, this.http] : [this.mqtt], timers, bounds.betterTransportMs),
      onWake: (wake) => {
        this.wake = wake
        return () => void (this.wake = () => {})
      },
      events: {
        opened: (_session, { kind }) => this.told.push(`opened ${kind}`),
        lost: ({ code }) => this.told.push(`lost ${code}`),
        status: (status) => this.statuses.push(status),
        entry: (filter) => this.told.push(`entry ${filter}`),
        control: (filter) => this.told.push(`control ${filter}`),
        refused: (filter) => this.told.push(`refused ${filter}`),
      },
    })
  }

  granted(lifeS: number): Response {
    return Response.json({ access_token: `broker-${this.askedMs.length}`, expires_in: lifeS, client_id: 'web-1' })
  }

  refused(): Response {
    return Response.json({ error: 'invalid_grant', error_description: 'expired' }, { status: 400 })
  }

  async start(): Promise<this> {
    this.link.start()
    await settle()
    return this
  }

  get connection(): string {
    return this.link.status.connection
  }

  /** The pauses between attempts to open. */
  get pausesMs(): number[] {
    return this.mqtt.attemptsMs.slice(1).map((atMs, at) => atMs - (this.mqtt.attemptsMs[at] as number))
  }
}

/** What a transport says where nothing gets through. */
export const network = (): never => {
  throw new ClientError('network')
}
