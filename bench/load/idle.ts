/** Connections that only are there. */
import { Client } from './client.ts'
import { inGroups } from './load-run.ts'
import type { Credentials } from './packets.ts'
import { drawRun } from './payload.ts'
import { Wire } from './wire.ts'

const connectingMax = 64

export interface IdleOptions {
  readonly url: string
  readonly connections: number
  /** `{n}` stands for the connection's number. */
  readonly filter: string
  readonly qos: 0 | 1
  readonly credentials: readonly Credentials[]
}

/** Opens the connections, each with one subscription; the returned function ends them. Rejects if one is refused. */
export async function openIdle({ url, connections, filter, qos, credentials }: IdleOptions): Promise<() => void> {
  const followers = Array.from({ length: connections }, (_, number) => ({
    credentials: credentials.length === 0 ? undefined : credentials[number % credentials.length],
    filters: [filter.replace('{n}', String(number))],
  }))
  return await openFollowers(url, followers, qos)
}

export interface IdleFollower {
  readonly credentials: Credentials | undefined
  readonly filters: readonly string[]
}

/** The same with filters of its own for each connection. */
export async function openFollowers(url: string, followers: readonly IdleFollower[], qos: 0 | 1 = 1): Promise<() => void> {
  const name = drawRun().toString(36)
  const clients: Client[] = []
  const open = async ({ credentials, filters }: IdleFollower, number: number): Promise<void> => {
    const client = new Client(await Wire.open(url))
    clients.push(client)
    await client.connect({ clientId: `idle-${name}-${number}`, clean: true, credentials })
    await client.subscribeAll(filters, qos)
  }
  const jobs = followers.map((follower, number) => () => open(follower, number))
  const close = (): void => {
    for (const client of clients) client.leave()
  }
  try {
    await inGroups(jobs, connectingMax)
  } catch (error) {
    close()
    throw error
  }
  return close
}

/** Subscribes at QoS 1 and never reads again; the returned function ends it. */
export async function openStalled(url: string, filter: string, credentials?: Credentials): Promise<() => void> {
  const client = new Client(await Wire.open(url))
  await client.connect({ clientId: `stalled-${drawRun().toString(36)}`, clean: true, credentials })
  await client.subscribe(filter, 1)
  client.wire.stall()
  return () => client.wire.cut()
}
