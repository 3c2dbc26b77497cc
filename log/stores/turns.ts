/** Calls that take turns: those with the same key run one after the other, in the order in which they were made. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>()

  take<Result>(key: string, call: () => Promise<Result>): Promise<Result> {
    const before = this.#last.get(key)
    const result = before ? before.then(call, call) : call()
    this.#last.set(key, result)
    const forget = (): void => {
      if (this.#last.get(key) === result) this.#last.delete(key)
    }
    result.then(forget, forget)
    return result
  }
}
