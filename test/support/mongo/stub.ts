/**
 * A primary of a replica set as the driver sees it, for what no server can be asked to do at the right moment: answers that
 * come late or never, writes that land after their client is gone, step-down, roll-back. It keeps what it is given in memory.
 */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { Document } from 'mongodb'
import { databaseName, StubData, type WriteOptions } from './stub-data.ts'
import { RequestReader, type Request } from './wire.ts'

export interface StubCommand {
  readonly name: string
  /** The collection of a command that names one. */
  readonly collection: string
  readonly body: Document
}

/** A whole answer; `cut`: the connection ends without one. */
export type StubAnswer = Document | 'cut'

const handshake = { maxBsonObjectSize: 16_777_216, maxMessageSizeBytes: 48_000_000, maxWriteBatchSize: 100_000, minWireVersion: 0 }

export class MongoStub {
  readonly data = new StubData()
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  /** Answers in place of the stub, where it returns something. */
  answer: ((command: StubCommand) => Promise<StubAnswer | undefined> | StubAnswer | undefined) | undefined
  isPrimary = true
  /** How far its clock is ahead. */
  aheadMs = 0

  static async start(port = 0): Promise<MongoStub> {
    const server = createServer({ noDelay: true })
    await new Promise<void>((resolve) => void server.listen(port, '127.0.0.1', resolve))
    return new MongoStub(server)
  }

  private constructor(server: Server) {
    this.#server = server
    server.on('connection', (socket) => this.#serve(socket))
  }

  get url(): string {
    return `mongodb://${this.#address}/${databaseName}?serverSelectionTimeoutMS=500&heartbeatFrequencyMS=500`
  }

  get #address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Carries out a command as if a client had sent it. */
  run({ name, body }: StubCommand, options?: WriteOptions): Document {
    if (name === 'hello' || name === 'isMaster' || name === 'ismaster') return this.#hello()
    if (!this.isPrimary) return { ok: 0, code: 10_107, codeName: 'NotWritablePrimary', errmsg: 'not primary' }
    return this.data.run(name, body, options) ?? { ok: 1 }
  }

  /** Ends every connection, whatever is on its way. */
  cutAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => void this.#server.close(() => resolve()))
    this.cutAll()
    await closed
  }

  #serve(socket: Socket): void {
    const reader = new RequestReader()
    this.#sockets.add(socket)
    socket.on('data', (bytes: Buffer) => {
      for (const request of reader.add(bytes)) void this.#carryOut(socket, request)
    })
    // A client that goes away is what half of the tests are about.
    socket.on('error', () => socket.destroy())
    socket.once('close', () => this.#sockets.delete(socket))
  }

  async #carryOut(socket: Socket, request: Request): Promise<void> {
    const [name = ''] = Object.keys(request.body)
    const command: StubCommand = { name, collection: String(request.body[name]), body: request.body }
    const answer = (await this.answer?.(command)) ?? this.run(command)
    if (answer === 'cut') socket.destroy()
    else if (!socket.destroyed) socket.write(request.reply(answer))
  }

  #hello(): Document {
    const { isPrimary } = this
    const member = { setName: 'stub', hosts: [this.#address], me: this.#address, secondary: !isPrimary }
    const localTime = new Date(Date.now() + this.aheadMs)
    const rest = { helloOk: true, logicalSessionTimeoutMinutes: 30, maxWireVersion: 21, ok: 1 }
    return { isWritablePrimary: isPrimary, ismaster: isPrimary, ...member, ...handshake, localTime, ...rest }
  }
}
