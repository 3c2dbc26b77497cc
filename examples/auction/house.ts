/** The auction house: a client of Tidemark like any other, which alone may open and close. */
import { connect as connectMqtt } from 'mqtt'
import { ClientError, connect } from 'tidemark/client'
import { Auction, house, streamName, topic, watchingTopic, type Lot, type Said } from './rules.ts'

export interface House {
  readonly auction: Auction
  /** The next lot, if none is open. */
  open(): Promise<void>
  /** From its entry on no bid counts. */
  close(): Promise<void>
  tellWatching(count: number): void
  stop(): Promise<void>
}

export interface HouseOptions {
  readonly httpUrl: string
  readonly mqttUrl: string
  readonly getToken: () => Promise<string>
  /** How long a lot is open. */
  readonly minutes: number
}

const titles = ['A ship’s barometer, brass, about 1890', 'A globe of the moon', 'Tide tables of Brest, 1839, bound']

/** Opens a lot, unless one is open still from before. */
export async function openHouse({ httpUrl, mqttUrl, getToken, minutes }: HouseOptions): Promise<House> {
  const auction = new Auction()
  const client = connect({ url: httpUrl, getToken, name: house })
  const stream = client.stream(streamName)
  const waiting: (() => void)[] = []
  let timer: NodeJS.Timeout | undefined

  const isRead = new Promise<void>((resolve, reject) => {
    const read = async (): Promise<void> => {
      for await (const entry of stream.entries({ from: 'earliest', onProgress: ({ live }) => live && resolve() })) {
        auction.take(entry)
        for (const wake of waiting.splice(0)) wake()
      }
    }
    read().catch((error: unknown) => {
      reject(error)
      if (!(error instanceof ClientError && error.code === 'closed')) tell(error)
    })
  })

  /** Replaces what stands there, and nothing else: a bid that comes in between is in time, and the house looks again. */
  async function say(what: () => Said | undefined): Promise<void> {
    for (;;) {
      const { latest } = auction
      const said = what()
      if (!said) return
      try {
        await stream.publish(topic, said, { retain: true, if: latest ?? 'none' })
      } catch (thrown) {
        if (!(thrown instanceof ClientError && thrown.code === 'conflict')) throw thrown
      }
      while (auction.latest === latest) await new Promise<void>((resolve) => waiting.push(resolve))
    }
  }
  const close = (): Promise<void> =>
    say(() => {
      const { lot, sale, highest } = auction
      return lot && !sale ? { closed: { winner: highest?.by ?? null, amount: highest?.amount ?? null } } : undefined
    })
  const open = async (): Promise<void> => {
    await say(() => (auction.lot && !auction.sale ? undefined : { opened: nextLot(auction.lot?.number ?? 0, minutes) }))
    clearTimeout(timer)
    timer = setTimeout(() => void close().catch(tell), (auction.lot?.endsAt ?? 0) - Date.now())
  }

  await isRead
  await open()
  const mqtt = connectMqtt(mqttUrl, { username: house, password: await getToken() })
  // The server closes the connection when the token has expired; mqtt.js connects again a second later.
  mqtt.on('close', () => void getToken().then((token) => (mqtt.options.password = token)))
  mqtt.on('error', tell)
  return {
    auction,
    open,
    close,
    tellWatching: (count) => void (mqtt.connected && mqtt.publish(`${streamName}/${watchingTopic}`, JSON.stringify({ count }))),
    async stop() {
      clearTimeout(timer)
      await mqtt.endAsync(true)
      await client.close()
    },
  }
}

function tell(error: unknown): void {
  console.error(`the auction house: ${error instanceof Error ? error.message : String(error)}`)
}

function nextLot(before: number, minutes: number): Lot {
  const title = titles[before % titles.length] as string
  return { number: before + 1, title, start: 100, step: 10, endsAt: Date.now() + minutes * 60_000 }
}
