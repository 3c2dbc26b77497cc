/** Waiting for events in tests: never by sleeping, always with a time-out that says what was awaited. */

export const waitMsMax = 8_000

/** As the promise; rejects after the time with a sentence that names what did not come. */
export async function within<Result>(promise: Promise<Result>, what: string, timeoutMs = waitMsMax): Promise<Result> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${timeoutMs} ms in vain for ${what}`)), timeoutMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Values in order of arrival; whoever waits for one looks again whenever one is added. */
export class Inbox<Value> {
  readonly all: Value[] = []
  /** Not yet taken by `take`. */
  readonly waiting: Value[] = []
  #looking = new Set<() => void>()
  #ended: Error | undefined = undefined

  add(value: Value): void {
    this.all.push(value)
    this.waiting.push(value)
    for (const look of this.#looking) look()
  }

  /** Nothing more comes: whoever waits is told why. */
  end(reason: string): void {
    this.#ended ??= new Error(reason)
    for (const look of this.#looking) look()
  }

  /** Resolves with the first value that matches, taken out; those before it stay. */
  take(matches: (value: Value) => boolean, what: string, timeoutMs = waitMsMax): Promise<Value> {
    return this.#when(
      () => {
        const at = this.waiting.findIndex(matches)
        return at < 0 ? undefined : { value: this.waiting.splice(at, 1)[0] as Value }
      },
      what,
      timeoutMs,
    ).then(({ value }) => value)
  }

  /** Resolves when the condition holds; it is asked again after every arrival. */
  until(holds: () => boolean, what: string, timeoutMs = waitMsMax): Promise<void> {
    return this.#when(() => (holds() ? {} : undefined), what, timeoutMs).then(() => {})
  }

  #when<Found extends object>(find: () => Found | undefined, what: string, timeoutMs: number): Promise<Found> {
    return new Promise((resolve, reject) => {
      const found = find()
      if (found) return resolve(found)
      const finish = (): void => {
        clearTimeout(timer)
        this.#looking.delete(look)
      }
      const look = (): void => {
        const value = find()
        if (value) {
          finish()
          resolve(value)
        } else if (this.#ended) {
          finish()
          reject(new Error(`${what} will not come: ${this.#ended.message}`))
        }
      }
      const timer = setTimeout(() => {
        finish()
        const seen = JSON.stringify(this.waiting.slice(-10), (_key, value: unknown) => short(value))
        reject(new Error(`waited ${timeoutMs} ms in vain for ${what}; ${this.waiting.length} unread, the last: ${seen.slice(0, 2_000)}`))
      }, timeoutMs)
      this.#looking.add(look)
      if (this.#ended) look()
    })
  }
}

function short(value: unknown): unknown {
  const isBuffer = typeof value === 'object' && value !== null && (value as { type?: unknown }).type === 'Buffer'
  return isBuffer
    ? Buffer.from((value as { data: number[] }).data)
        .toString('utf8')
        .slice(0, 80)
    : value
}
