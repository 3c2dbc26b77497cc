/** What the transport tests share: a real server, credentials as the SDK gets them, and a session that is listened to. */
import { addressOf } from '../../client/address.ts'
import { bounds as defaults, type Bounds } from '../../client/bounds.ts'
import { Credentials } from '../../client/credentials.ts'
import { ClientError } from '../../client/errors.ts'
import type { Surroundings } from '../../client/request.ts'
import { platformTimers } from '../../client/timers.ts'
import type { Credential, Session, Transport } from '../../client/transport/transport.ts'
import type { Control, Envelope } from '../../client/wire.ts'
import { Inbox } from '../support/waiting.ts'

export function surroundings(bounds: Partial<Bounds> = {}): Surroundings {
  return { timers: platformTimers(), bounds: { ...defaults, ...bounds } }
}

let clients = 0

/** What the server gives for the app's token; `url` may be that of a proxy. */
export function credentialFrom(url: string, token: string, clientId = `test-${clients++}`): Promise<Credential> {
  return new Credentials({ ...surroundings(), address: addressOf(url), clientId, getToken: () => token }).fetch()
}

export type Told =
  | { readonly what: 'entry'; readonly filter: string; readonly envelope: Envelope }
  | { readonly what: 'control'; readonly filter: string; readonly control: Control }
  | { readonly what: 'refused'; readonly filter: string }
  | { readonly what: 'expiring'; readonly inMs: number }
  | { readonly what: 'closed'; readonly reason: ClientError | undefined }

/** A session with everything that it tells. */
export class Heard {
  readonly told = new Inbox<Told>()
  readonly credential: Credential
  session!: Session

  private constructor(credential: Credential) {
    this.credential = credential
  }

  static async open(transport: Transport, credential: Credential, signal = new AbortController().signal): Promise<Heard> {
    const heard = new Heard(credential)
    const { told } = heard
    heard.session = await transport.open(
      credential,
      {
        entry: (filter, envelope) => told.add({ what: 'entry', filter, envelope }),
        control: (filter, control) => told.add({ what: 'control', filter, control }),
        refused: (filter) => told.add({ what: 'refused', filter }),
        expiring: (inMs) => told.add({ what: 'expiring', inMs }),
        closed: (reason) => told.add({ what: 'closed', reason }),
      },
      signal,
    )
    return heard
  }

  /** Follows and waits for the `at` that answers. */
  async follow(filter: string): Promise<Extract<Control, { ctl: 'at' }>> {
    for (const old of this.told.waiting.filter((one) => one.what === 'control' && one.filter === filter)) {
      await this.told.take((one) => one === old, 'what was told before')
    }
    this.session.follow(filter)
    return this.at(filter)
  }

  async at(filter: string): Promise<Extract<Control, { ctl: 'at' }>> {
    const told = await this.told.take((one) => one.what === 'control' && one.filter === filter && one.control.ctl === 'at', `at ${filter}`)
    return (told as { control: Extract<Control, { ctl: 'at' }> }).control
  }

  async closed(): Promise<ClientError | undefined> {
    const told = await this.told.take((one) => one.what === 'closed', 'the end of the session')
    return (told as { reason: ClientError | undefined }).reason
  }

  refused(filter: string): Promise<unknown> {
    return this.told.take((one) => one.what === 'refused' && one.filter === filter, `the refusal of ${filter}`)
  }

  /** The entries of the filter so far. */
  entries(filter: string): Envelope[] {
    return this.told.all.flatMap((one) => (one.what === 'entry' && one.filter === filter ? [one.envelope] : []))
  }

  /** Waits until so many entries of the filter have come. */
  async count(filter: string, entries: number): Promise<Envelope[]> {
    await this.told.until(() => this.entries(filter).length >= entries, `${entries} entries of ${filter}`)
    return this.entries(filter)
  }
}

/** Why it fails; throws if it does not, or with anything but a ClientError. */
export async function failureOf(promise: Promise<unknown>): Promise<ClientError> {
  let value: unknown
  try {
    value = await promise
  } catch (thrown) {
    if (thrown instanceof ClientError) return thrown
    throw thrown
  }
  throw new Error(`did not fail, but gave ${JSON.stringify(value)}`)
}
