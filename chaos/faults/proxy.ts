/** A TCP proxy that cuts, delays, holds and half-opens the connections that pass through it. */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'

interface Pair {
  readonly near: Socket
  readonly far: Socket
  /** When the last chunk of each way is due, so that chunks keep their order. */
  readonly due: { up: number; down: number }
  /** Chunks that passed from the far side. */
  answers: number
}

export class FaultProxy {
  readonly name: string
  readonly #targetPort: number
  readonly #server: Server
  readonly #pairs = new Set<Pair>()
  /** Ends that the other side has left without their being told. */
  readonly #orphans = new Set<Socket>()
  #delayMs = 0
  #held = false
  #losing = false
  #refusing = false

  static async open(name: string, targetPort: number): Promise<FaultProxy> {
    const proxy = new FaultProxy(name, targetPort)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  private constructor(name: string, targetPort: number) {
    this.name = name
    this.#targetPort = targetPort
    this.#server = createServer((near) => this.#accept(near))
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Ends all connections, for both sides to see. */
  cut(): void {
    for (const { near, far } of this.#pairs) {
      near.destroy()
      far.destroy()
    }
  }

  /** As `cut`, but what was on its way is thrown away, and both sides hear of an error. */
  reset(): void {
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy()
      far.resetAndDestroy()
    }
  }

  delay(ms: number): void {
    this.#delayMs = ms
  }

  /** Nothing passes until `mend`; then everything does. */
  hold(): void {
    this.#held = true
    for (const { near, far } of this.#pairs) {
      near.pause()
      far.pause()
    }
  }

  /** Requests pass and are carried out, and no answer comes; `mend` ends those connections. */
  loseAnswers(): void {
    this.#losing = true
    for (const { far } of this.#pairs) far.pause()
  }

  /** As `loseAnswers`, for the connections in use, until the function is called; those that begin pass. */
  loseInUse(): () => void {
    // A driver that loses the connection it watches the server by, or one while it is opened, is kept from it for long: that is another fault.
    const inUse = [...this.#pairs].filter(({ answers }) => answers > 5)
    for (const { far } of inUse) far.pause()
    return () => {
      for (const { near, far } of inUse) {
        near.destroy()
        far.destroy()
      }
    }
  }

  /** One side of each connection ends; the other one hears nothing of it, and never gets an answer again. */
  halfOpen(side: 'near' | 'far'): void {
    for (const pair of this.#pairs) {
      const [gone, left] = side === 'near' ? [pair.near, pair.far] : [pair.far, pair.near]
      this.#pairs.delete(pair)
      this.#orphans.add(left)
      left.once('close', () => this.#orphans.delete(left))
      left.removeAllListeners('data').resume()
      gone.destroy()
    }
  }

  /** New connections are refused until `mend`, those that stand are cut. */
  refuse(): void {
    this.#refusing = true
    this.cut()
  }

  mend(): void {
    if (this.#losing) this.cut()
    this.#losing = false
    this.#delayMs = 0
    this.#held = false
    this.#refusing = false
    for (const orphan of this.#orphans) orphan.destroy()
    for (const { near, far } of this.#pairs) {
      near.resume()
      far.resume()
    }
  }

  close(): void {
    this.mend()
    this.cut()
    this.#server.close()
  }

  #accept(near: Socket): void {
    if (this.#refusing) return void near.destroy()
    const far = connect({ port: this.#targetPort, host: '127.0.0.1', noDelay: true })
    near.setNoDelay(true)
    const pair: Pair = { near, far, due: { up: 0, down: 0 }, answers: 0 }
    this.#pairs.add(pair)
    this.#forward(pair, near, far, 'up')
    this.#forward(pair, far, near, 'down')
    for (const socket of [near, far]) {
      if (this.#held || (this.#losing && socket === far)) socket.pause()
      socket.on('error', () => {}) // The close that follows is what counts.
      socket.once('close', () => {
        if (!this.#pairs.delete(pair)) return
        near.destroySoon()
        far.destroySoon()
      })
    }
  }

  #forward(pair: Pair, from: Socket, to: Socket, way: 'up' | 'down'): void {
    const late: Buffer[] = []
    from.on('data', (bytes) => {
      if (way === 'down') pair.answers++
      const now = performance.now()
      const due = Math.max(pair.due[way], now + this.#delayMs)
      pair.due[way] = due
      if (due <= now && late.length === 0) {
        to.write(bytes)
        return
      }
      late.push(bytes)
      // Timers that are due at one moment fire in any order: each lets the oldest chunk pass.
      setTimeout(() => {
        const oldest = late.shift()
        if (oldest && this.#pairs.has(pair)) to.write(oldest)
      }, due - now)
    })
  }
}
