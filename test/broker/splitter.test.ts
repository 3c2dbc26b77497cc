/** Packets out of bytes: whatever the pieces are, the packets are the same, and a size is judged before it arrives. */
import { expect } from 'chai'
import * as fc from 'fast-check'
import { lengthBytes, packetType, writeLength } from '../../broker/packets.ts'
import { Splitter, type PacketLimits, type PacketSink } from '../../broker/splitter.ts'
import { defaultLimits } from '../../seams/limits.ts'

/** The header of a packet of this type whose rest has so many bytes. */
function header(type: number, remaining: number): Buffer {
  const bytes = Buffer.alloc(1 + lengthBytes(remaining))
  bytes[0] = type << 4
  writeLength(bytes, 1, remaining)
  return bytes
}

const frame = (type: number, body: Uint8Array): Buffer => Buffer.concat([header(type, body.length), body])

/** What the sink does with one packet. */
type Reaction = 'go on' | 'return false' | 'stop' | 'stop and resume' | 'feed more'

/** Keeps the packets, and checks at each what is told about it. */
class Collector implements PacketSink {
  readonly packets: Buffer[] = []
  readonly chunks: Buffer[] = []
  readonly broke: { reason: string; code: string }[] = []
  delivered = 0
  react: (() => boolean) | undefined = undefined

  packet(chunk: Buffer, start: number, body: number, end: number): boolean {
    expect(chunk.subarray(start, body)).to.deep.equal(header((chunk[start] as number) >> 4, end - body))
    this.packets.push(Buffer.from(chunk.subarray(start, end)))
    this.chunks.push(chunk)
    this.delivered += end - start
    return this.react?.() ?? true
  }

  broken(reason: string, code: string): void {
    this.broke.push({ reason, code })
  }
}

function splitterOf(limits: PacketLimits = defaultLimits): { splitter: Splitter; sink: Collector } {
  const sink = new Collector()
  return { splitter: new Splitter(sink, limits), sink }
}

/** Feeds these pieces to a new splitter. */
function fed(...pieces: Buffer[]): Collector {
  const { splitter, sink } = splitterOf()
  for (const piece of pieces) splitter.feed(piece)
  return sink
}

/** The bytes in pieces that end at these places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...new Set([...places.map((place) => place % bytes.length), bytes.length])].sort((a, b) => a - b)
  return ends.map((end, index) => bytes.subarray(index === 0 ? 0 : ends[index - 1], end))
}

const bodyOf = (lengths: fc.Arbitrary<number>): fc.Arbitrary<Buffer> =>
  fc.tuple(lengths, fc.nat(255)).map(([length, first]) => Buffer.from(Uint8Array.from({ length }, (_unused, at) => first + at * 7)))

/** Lengths on both sides of where one more byte is needed to write them. */
const lengths = fc.oneof({ weight: 6, arbitrary: fc.nat(20) }, fc.nat(400), fc.constantFrom(126, 127, 128, 129, 16_383, 16_384))
const controlTypes = fc.constantFrom(packetType.connect, packetType.subscribe, packetType.unsubscribe)
const smallTypes = fc.constantFrom(packetType.puback, packetType.pubrel, packetType.pingreq, packetType.disconnect, 0, 15)
const frames = fc.oneof(
  bodyOf(lengths).map((body) => frame(packetType.publish, body)),
  fc.tuple(controlTypes, bodyOf(lengths)).map(([type, body]) => frame(type, body)),
  fc.tuple(smallTypes, bodyOf(fc.nat(2))).map(([type, body]) => frame(type, body)),
)
const sequences = fc.array(frames, { minLength: 1, maxLength: 12 })
const places = fc.array(fc.nat(100_000), { maxLength: 24 })
const texts = (packets: readonly Buffer[]): string[] => packets.map((packet) => packet.toString('hex'))

describe('Splitter', () => {
  it('[P-7.21] gives the same packets in the same order however their bytes are cut', () => {
    let packets = 0
    fc.assert(
      fc.property(sequences, places, (sent, at) => {
        const { splitter, sink } = splitterOf()
        let arrived = 0
        for (const piece of cut(Buffer.concat(sent), at)) {
          splitter.feed(piece)
          arrived += piece.length
          // Nothing whole is kept back, and nothing is kept twice.
          expect(splitter.heldBytes).to.equal(arrived - sink.delivered)
        }
        expect(texts(sink.packets)).to.deep.equal(texts(sent))
        expect(splitter.heldBytes).to.equal(0)
        packets += sink.packets.length
      }),
      { numRuns: 500 },
    )
    expect(packets).to.be.greaterThan(1_000)
  })

  it('[P-7.21] gives the same packets byte by byte, each as soon as its last byte is there', () => {
    fc.assert(
      fc.property(sequences, (sent) => {
        const { splitter, sink } = splitterOf()
        for (const packet of sent) {
          const before = sink.packets.length
          for (let at = 0; at < packet.length; at++) {
            if (sink.packets.length !== before) expect.fail(`a packet of ${packet.length} bytes came after ${at} of them`)
            splitter.feed(packet.subarray(at, at + 1))
          }
          expect(sink.packets).to.have.length(before + 1)
        }
        expect(texts(sink.packets)).to.deep.equal(texts(sent))
      }),
      { numRuns: 30 },
    )
  })

  it('[P-7.20] loses nothing and changes no order when its sink stops it, at any packet and in any way', () => {
    const seen = new Map<Reaction, number>()
    let resumed = 0
    const reactions = fc.constantFrom<Reaction>('go on', 'return false', 'stop', 'stop and resume', 'feed more')
    fc.assert(
      fc.property(sequences, places, fc.array(reactions, { minLength: 1 }), fc.array(fc.boolean()), (sent, at, script, resumes) => {
        const { splitter, sink } = splitterOf()
        const pieces = cut(Buffer.concat(sent), at)
        let stopped = false
        let arrived = 0
        const feed = (): void => {
          const piece = pieces.shift()
          if (!piece) return
          arrived += piece.length
          splitter.feed(piece)
        }
        sink.react = () => {
          expect(stopped, 'nothing is handed over to a sink that has stopped').to.equal(false)
          const reaction = script[sink.packets.length % script.length] as Reaction
          seen.set(reaction, (seen.get(reaction) ?? 0) + 1)
          if (reaction === 'feed more') feed()
          if (reaction === 'stop' || reaction === 'stop and resume') splitter.stop()
          if (reaction === 'stop and resume') splitter.resume()
          stopped = reaction === 'return false' || reaction === 'stop'
          return reaction !== 'return false'
        }
        const resume = (): void => {
          if (stopped) resumed++
          stopped = false
          splitter.resume()
        }
        for (let turn = 0; pieces.length > 0; turn++) {
          feed()
          expect(splitter.heldBytes).to.equal(arrived - sink.delivered)
          if (resumes[turn % resumes.length]) resume()
        }
        for (let turn = 0; turn <= sent.length; turn++) resume()
        expect(texts(sink.packets)).to.deep.equal(texts(sent))
        expect(splitter.heldBytes).to.equal(0)
      }),
      { numRuns: 500 },
    )
    expect(resumed).to.be.greaterThan(500)
    expect(seen.size).to.equal(5)
    for (const [reaction, times] of seen) expect(times, reaction).to.be.greaterThan(100)
  })

  it('waits with a packet that is whole while it is stopped', () => {
    const { splitter, sink } = splitterOf()
    const packet = frame(packetType.publish, Buffer.from('abc'))
    splitter.stop()
    splitter.feed(packet.subarray(0, 2))
    splitter.feed(packet.subarray(2))
    expect(sink.packets).to.have.length(0)
    expect(splitter.heldBytes).to.equal(packet.length)
    splitter.resume()
    expect(texts(sink.packets)).to.deep.equal(texts([packet]))
  })

  it('hands over in place what lies whole in one chunk', () => {
    const chunk = Buffer.concat([frame(packetType.publish, Buffer.alloc(300)), frame(packetType.pingreq, Buffer.alloc(0))])
    const sink = fed(chunk)
    expect(sink.packets).to.have.length(2)
    expect(sink.chunks.every((given) => given === chunk)).to.equal(true)
  })

  describe('[P-7.11] judges a size from the header alone', () => {
    const { packetBytesMax, controlPacketBytesMax, topicBytesMax } = defaultLimits
    const publishMax = packetBytesMax + topicBytesMax + 4
    const longest: Readonly<Record<number, number>> = {
      [packetType.publish]: publishMax,
      [packetType.connect]: controlPacketBytesMax,
      [packetType.subscribe]: controlPacketBytesMax,
      [packetType.unsubscribe]: controlPacketBytesMax,
    }

    for (let type = 0; type < 16; type++) {
      const max = longest[type] ?? 2
      it(`type ${type}: ${max} bytes pass, one more is refused before any of them is there`, () => {
        const fits = fed(header(type, max))
        expect(fits.broke).to.deep.equal([])
        const tooLong = fed(header(type, max + 1))
        expect(tooLong.broke.map(({ code }) => code)).to.deep.equal(['payload-too-large'])
        expect(tooLong.broke[0]?.reason).to.include(String(max + 1))
        expect(fed(frame(type, Buffer.alloc(max))).packets).to.have.length(1)
      })
    }

    it('a CONNECT of 200 MB is refused at its fifth byte, however it comes, and nothing is kept of it', () => {
      const announced = header(packetType.connect, 200 * 1024 * 1024)
      expect(announced).to.have.length(5)
      fc.assert(
        fc.property(places, (at) => {
          const { splitter, sink } = splitterOf()
          for (const piece of cut(announced, at)) {
            expect(sink.broke).to.deep.equal([])
            splitter.feed(piece)
          }
          expect(sink.broke).to.have.length(1)
          splitter.feed(Buffer.alloc(65_536))
          expect(sink.broke).to.have.length(1)
          expect(splitter.heldBytes).to.equal(0)
        }),
      )
    })

    it('what was whole before it is handed over', () => {
      const sink = fed(
        Buffer.concat([
          frame(packetType.pingreq, Buffer.alloc(0)),
          header(packetType.puback, 3),
          frame(packetType.pingreq, Buffer.alloc(0)),
        ]),
      )
      expect(sink.packets).to.have.length(1)
      expect(sink.broke).to.have.length(1)
    })

    it('a length that is announced takes no memory before it arrives', () => {
      const announced = header(packetType.publish, packetBytesMax)
      const before = process.memoryUsage().arrayBuffers
      const many = Array.from({ length: 1_000 }, () => splitterOf())
      for (const { splitter } of many) splitter.feed(Buffer.concat([announced, Buffer.alloc(10)]))
      const grown = process.memoryUsage().arrayBuffers - before
      expect(many.every(({ splitter }) => splitter.heldBytes === announced.length + 10)).to.equal(true)
      expect(grown).to.be.lessThan((1_000 * packetBytesMax) / 16)
    })
  })

  it('[P-7.11] refuses a remaining length of five bytes at the fourth that says so', () => {
    const bytes = Buffer.from([packetType.publish << 4, 0xff, 0xff, 0xff, 0xff, 1])
    const { splitter, sink } = splitterOf()
    splitter.feed(bytes.subarray(0, 4))
    expect(sink.broke).to.deep.equal([])
    splitter.feed(bytes.subarray(4, 5))
    expect(sink.broke).to.deep.equal([{ reason: 'the remaining length has more than four bytes [MQTT-2.2.3]', code: 'bad-request' }])
    expect(fed(bytes).broke).to.have.length(1)
  })

  it('[P-7.11] refuses a length that is written with more bytes than it needs', () => {
    const padded = [
      [0x80, 0],
      [0x82, 0],
      [0xff, 0x80, 0],
      [0x80, 0x80, 0],
      [0x80, 0x80, 0x80, 0],
      [0xff, 0xff, 0x80, 0],
    ]
    for (const length of padded) {
      const bytes = Buffer.from([packetType.publish << 4, ...length, 0, 0])
      const pieces = Array.from(bytes, (byte) => Buffer.from([byte]))
      for (const sink of [fed(bytes), fed(...pieces)]) {
        expect(sink.packets, length.join()).to.have.length(0)
        expect(sink.broke, length.join()).to.deep.equal([{ reason: 'the remaining length is padded', code: 'bad-request' }])
      }
    }
  })

  it('hands over nothing after it was told to let go, not even what it held', () => {
    const packets = [frame(packetType.publish, Buffer.from('a')), frame(packetType.publish, Buffer.from('b'))]
    const { splitter, sink } = splitterOf()
    sink.react = () => {
      splitter.discard()
      return true
    }
    splitter.feed(Buffer.concat(packets))
    expect(texts(sink.packets)).to.deep.equal(texts(packets.slice(0, 1)))

    const waiting = splitterOf()
    waiting.splitter.stop()
    waiting.splitter.feed(packets[0] as Buffer)
    waiting.splitter.discard()
    waiting.splitter.resume()
    const partial = splitterOf()
    partial.splitter.feed((packets[0] as Buffer).subarray(0, 2))
    partial.splitter.discard()
    partial.splitter.feed((packets[0] as Buffer).subarray(2))
    for (const one of [waiting, partial, { splitter, sink: new Collector() }]) {
      one.splitter.feed(packets[1] as Buffer)
      expect(one.sink.packets).to.have.length(0)
      expect(one.sink.broke).to.have.length(0)
      expect(one.splitter.heldBytes).to.equal(0)
    }
  })
})
