/** One message after the other, each to another topic: how long each PUBACK takes. */
import { Client } from './client.ts'
import { nowMicros } from './clock.ts'
import { Histogram, type Percentiles } from './histogram.ts'
import { packetType, publishTemplate, type Credentials } from './packets.ts'
import { drawRun } from './payload.ts'
import { Wire } from './wire.ts'

export interface AppendGroup {
  readonly credentials: Credentials
  readonly topics: readonly string[]
}

/** Publishes once to each topic of each group; resolves with the latencies, in ms. */
export async function appendEach(url: string, groups: readonly AppendGroup[]): Promise<Percentiles> {
  const latency = new Histogram()
  for (const { credentials, topics } of groups) {
    const client = new Appender(await Wire.open(url))
    await client.connect({ clientId: `append-${drawRun().toString(36)}`, clean: true, credentials })
    for (const topic of topics) latency.add(await client.append(topic))
    client.leave()
  }
  return latency.percentiles()
}

class Appender extends Client {
  #acknowledged: (micros: number) => void = () => {}
  #sentMicros = 0

  append(topic: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#acknowledged = resolve
      this.onLost = reject
      const { bytes, idOffset } = publishTemplate(topic, 1, Buffer.alloc(100, 'x'))
      bytes.writeUInt16BE(1, idOffset)
      this.#sentMicros = nowMicros()
      this.wire.put(bytes)
      this.wire.flush()
    })
  }

  protected override message(firstByte: number, _body: number, _end: number, arrivedMicros: number): void {
    if (firstByte >> 4 === packetType.puback) this.#acknowledged(arrivedMicros - this.#sentMicros)
  }
}
