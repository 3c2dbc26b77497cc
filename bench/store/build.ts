/** `node build.ts FOLDER STREAMS MESSAGES`: fills a store through the log, stream after stream. */
import { mkdir } from 'node:fs/promises'
import { Draft, type DraftSink } from '../../log/draft.ts'
import { Log } from '../../log/log.ts'
import { LevelStore } from '../../log/stores/level.ts'
import { defaultLimits } from '../../seams/limits.ts'
import { silentLogger } from '../../seams/logger.ts'
import { publishTemplate } from '../load/packets.ts'

const underWayMax = 20_000
const payloadBytes = 100

const words = process.argv.slice(2)
if (words.length !== 3) throw new Error('usage: build.ts FOLDER STREAMS MESSAGES')
await fill(String(words[0]), Number(words[1]), Number(words[2]))

async function fill(folder: string, streams: number, messages: number): Promise<void> {
  await mkdir(folder, { recursive: true })
  const store = new LevelStore({ folder, logger: silentLogger })
  const log = await Log.open({ store, limits: { ...defaultLimits, newStreamsPerUserPerHourMax: 0 } })
  let underWay = 0
  let resume: () => void = () => {}
  let failure: Error | undefined
  const sink: DraftSink = {
    settled({ error }) {
      failure ??= error
      if (--underWay <= underWayMax / 2) resume()
    },
  }
  const perStream = Math.ceil(messages / streams)
  let left = messages
  for (let stream = 0; stream < streams; stream++) {
    const name = `users/s${stream}`
    for (let message = 0; message < perStream && left > 0; message++, left--) {
      log.append(name, draftFor(`${name}/notes/${message}`, `s${stream}`, sink))
      underWay++
    }
    if (underWay >= underWayMax) await new Promise<void>((resolve) => (resume = resolve))
    if (failure) throw failure
  }
  await log.close()
  if (failure) throw failure
}

function draftFor(topic: string, from: string, sink: DraftSink): Draft {
  const { bytes, idOffset } = publishTemplate(topic, 1, Buffer.alloc(payloadBytes, 'x'))
  const frame = { source: bytes, start: 0, end: bytes.length, idOffset }
  return Draft.of({ ...frame, topic, qos: 1, retain: false, from, client: 'bench', receivedMs: Date.now(), sink })
}
