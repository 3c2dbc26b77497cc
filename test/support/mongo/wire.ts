/** The frames of MongoDB's wire protocol, as far as the driver sends them: OP_MSG, and the OP_QUERY of its first greeting. */
import { BSON, type Document } from 'mongodb'

const opReply = 1
const opQuery = 2004
const opMsg = 2013
const headerBytes = 16

export interface Request {
  readonly id: number
  readonly body: Document
  /** The answer as bytes. */
  reply(document: Document): Buffer
}

/** Cuts what arrives into requests. */
export class RequestReader {
  #bytes: Buffer = Buffer.alloc(0)

  add(bytes: Buffer): Request[] {
    this.#bytes = Buffer.concat([this.#bytes, bytes])
    const requests: Request[] = []
    while (this.#bytes.length >= headerBytes && this.#bytes.length >= this.#bytes.readInt32LE(0)) {
      const length = this.#bytes.readInt32LE(0)
      requests.push(requestOf(this.#bytes.subarray(0, length)))
      this.#bytes = this.#bytes.subarray(length)
    }
    return requests
  }
}

function requestOf(frame: Buffer): Request {
  const id = frame.readInt32LE(4)
  const opcode = frame.readInt32LE(12)
  if (opcode === opMsg) return { id, body: bodyOf(frame), reply: (document) => replyFrame(id, document) }
  if (opcode !== opQuery) throw new Error(`the stub does not know opcode ${opcode}`)
  const start = frame.indexOf(0, headerBytes + 4) + 1 + 8
  return { id, body: documentAt(frame, start), reply: (document) => greetingFrame(id, document) }
}

/** The document of the command, and the lists that were sent beside it put into it. */
function bodyOf(frame: Buffer): Document {
  const body: Document = {}
  for (let at = headerBytes + 4; at < frame.length;) {
    const kind = frame[at++]
    if (kind === 0) {
      Object.assign(body, documentAt(frame, at))
      at += frame.readInt32LE(at)
      continue
    }
    const end = at + frame.readInt32LE(at)
    const nameEnd = frame.indexOf(0, at + 4)
    const list: Document[] = []
    for (let from = nameEnd + 1; from < end; from += frame.readInt32LE(from)) list.push(documentAt(frame, from))
    body[frame.toString('utf8', at + 4, nameEnd)] = list
    at = end
  }
  return body
}

function documentAt(frame: Buffer, at: number): Document {
  return BSON.deserialize(frame.subarray(at, at + frame.readInt32LE(at)), { promoteBuffers: true })
}

function replyFrame(to: number, document: Document): Buffer {
  const head = Buffer.alloc(headerBytes + 5)
  return framed(head, to, opMsg, document)
}

function greetingFrame(to: number, document: Document): Buffer {
  const head = Buffer.alloc(headerBytes + 20)
  head.writeInt32LE(1, headerBytes + 16)
  return framed(head, to, opReply, document)
}

function framed(head: Buffer, to: number, opcode: number, document: Document): Buffer {
  const body = BSON.serialize(document)
  head.writeInt32LE(head.length + body.length, 0)
  head.writeInt32LE(to, 8)
  head.writeInt32LE(opcode, 12)
  return Buffer.concat([head, body])
}
