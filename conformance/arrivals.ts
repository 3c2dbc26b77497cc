/** What came, in order, for whoever waits for something of it. */
import { Broken, short } from './check.ts'

export class Arrivals<Value> {
  /** Not yet taken. */
  readonly waiting: Value[] = []
  readonly #looking = new Set<() => void>()
  readonly #timeoutMs: number
  #ended: string | undefined = undefined

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs
  }

  add(value: Value): void {
    this.waiting.push(value)
    for (const look of this.#looking) look()
  }

  /** Nothing more comes. */
  end(reason: string): void {
    this.#ended ??= reason
    for (const look of this.#looking) look()
  }

  /** The first value that matches, taken out; those before it stay. Throws `Broken` where it does not come in time. */
  take<Wanted extends Value>(matches: (value: Value) => value is Wanted, what: string, timeoutMs?: number): Promise<Wanted>
  take(matches: (value: Value) => boolean, what: string, timeoutMs?: number): Promise<Value>
  take(matches: (value: Value) => boolean, what: string, timeoutMs = this.#timeoutMs): Promise<Value> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const at = this.waiting.findIndex(matches)
        if (at >= 0) {
          finish()
          resolve(this.waiting.splice(at, 1)[0] as Value)
        } else if (this.#ended !== undefined) {
          finish()
          reject(new Broken(`${what} did not come: ${this.#ended}`))
        }
      }
      const finish = (): void => {
        clearTimeout(timer)
        this.#looking.delete(look)
      }
      const timer = setTimeout(() => {
        finish()
        reject(new Broken(`${what} did not come within ${timeoutMs / 1_000} s`))
      }, timeoutMs)
      this.#looking.add(look)
      look()
    })
  }
}

/** As the promise; throws `Broken` where it takes longer. */
export async function within<Result>(promise: Promise<Result>, timeoutMs: number, what: string): Promise<Result> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Broken(`${what} within ${timeoutMs / 1_000} s`)), timeoutMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** What was sent and what came back, in short lines without tokens. */
export class Trace {
  readonly lines: string[] = []
  readonly #linesMax = 200

  add(line: string): void {
    if (this.lines.length < this.#linesMax) this.lines.push(short(withoutTokens(line.replaceAll(/\s+/g, ' '))))
  }
}

/** The JSON of a header begins with `{"`; cut off somewhere it is one still. */
const jwt = /\beyJ[\w-]{8,}(?:\.[\w-]*){0,2}/g

/** What a URL of AWS is signed by. */
const signed = /\bx-amz-(?:credential|signature|security-token|customauthorizer-signature)=[^&"\s…]*/gi

export function withoutTokens(text: string): string {
  return text.replaceAll(jwt, '(a token)').replaceAll(signed, '(a signature)')
}
