/** What was looked at, what is wrong, and what to do about it, one line each. */
import { SyncError } from '../../protocol/errors.ts'

/** Something is wrong: a sentence that says what, and one that says what to do. */
export class Trouble extends Error {
  readonly advice: string

  constructor(what: string, advice: string, cause?: unknown) {
    super(what, { cause })
    this.advice = advice
  }
}

/** What a check found out: a sentence, and what later checks need. */
export interface Found<Value> {
  readonly said: string
  readonly value: Value
}

const nameWidth = 12
const indent = ' '.repeat(8 + nameWidth)

export class Report {
  readonly #write: (text: string) => void
  #checks = 0
  #failed = 0

  constructor(write: (text: string) => void) {
    this.#write = write
  }

  /** Runs a check and says what became of it; undefined where it failed. */
  async check<Value>(name: string, look: () => Found<Value> | Promise<Found<Value>>): Promise<Value | undefined> {
    this.#checks++
    try {
      const { said, value } = await look()
      this.#line('ok', name, said)
      return value
    } catch (error) {
      const { message, advice } = troubleOf(error)
      this.#failed++
      this.#line('FAIL', name, message)
      this.#write(`${indent}→ ${advice}\n`)
      return undefined
    }
  }

  /** Something could not be looked at. */
  skip(name: string, why: string): void {
    this.#line('–', name, why)
  }

  /** Throws where something failed. */
  end(): void {
    if (this.#failed > 0) throw new SyncError('internal', `${this.#failed} of ${this.#checks} checks failed`)
    this.#write('\nEverything works.\n')
  }

  #line(mark: string, name: string, text: string): void {
    this.#write(`  ${mark.padEnd(6)}${name.padEnd(nameWidth)}${text}\n`)
  }
}

/** A refusal of the server that no check expected says its code, and where that is explained. */
function troubleOf(error: unknown): Trouble {
  if (error instanceof Trouble) return error
  if (error instanceof SyncError)
    return new Trouble(`${error.message} [${error.code}]`, 'docs/PROTOCOL.md chapter 12 says what the code means', error)
  throw error
}
