/** One check on its way: the people in it, what they were told of the deployment, and what was sent. */
import { setTimeout as wait } from 'node:timers/promises'
import { Trace } from './arrivals.ts'
import { Broken, NotTried } from './check.ts'
import { partOf, type Deployment, type Limits } from './deployment.ts'
import { Person } from './person.ts'

export class Attempt {
  readonly deployment: Deployment
  readonly limits: Limits
  readonly trace = new Trace()
  readonly me: Person
  readonly timeoutMs: number
  readonly #other: Person | undefined

  constructor(deployment: Deployment, number: number) {
    const { first, second, root, limits, options } = deployment
    const parts = { deployment, levels: `${root}/${number}`, trace: this.trace }
    this.deployment = deployment
    this.limits = limits
    this.timeoutMs = options.timeoutMs
    this.me = new Person({ ...parts, user: first })
    this.#other = second && new Person({ ...parts, user: second })
  }

  /** The second user; checks that ask for them need one. */
  get other(): Person {
    if (!this.#other) throw new NotTried('there is no second user')
    return this.#other
  }

  /** A uid whose topics nobody here may use: the second user's, or one of nobody. */
  get strangerUid(): string {
    return this.#other?.uid ?? `stranger-${this.deployment.root}`
  }

  /** Like `users/alice/conformance-x/7` for a space. */
  get space(): string {
    const { space } = this.deployment.options
    if (space === undefined) throw new NotTried('there is no space')
    return `spaces/${space}`
  }

  /** A token that expires soon, and when. */
  async shortToken(): Promise<{ readonly token: string; readonly expiresMs: number }> {
    const { shortToken, user } = this.deployment.options
    if (!shortToken) throw new NotTried('there are no short tokens')
    const token = await shortToken(user).catch((error: unknown) => {
      throw new NotTried(error instanceof Error ? error.message : String(error), { cause: error })
    })
    const exp = partOf(token, 'claims')['exp']
    if (typeof exp !== 'number') throw new NotTried('the command for short tokens prints no JWT with exp')
    const leftMs = exp * 1_000 - Date.now()
    if (leftMs > 15_000)
      throw new NotTried(`the command for short tokens prints one that is good for ${Math.round(leftMs / 1_000)} s; at most 15`)
    return { token, expiresMs: exp * 1_000 }
  }

  /** For what only time brings about. */
  async until(ms: number): Promise<void> {
    await wait(Math.max(0, ms - Date.now()))
  }

  /** Ends what was opened. What cannot be undone is told. */
  async end(): Promise<void> {
    for (const person of [this.me, this.#other]) {
      try {
        await person?.leave()
      } catch (error) {
        if (!(error instanceof Broken)) throw error
        this.trace.add(`a session was not removed: ${error.message}`)
      }
    }
  }
}
