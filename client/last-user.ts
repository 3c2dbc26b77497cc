/** Who was signed in last on this device, so that what is published offline goes out in that name and in no other. */
export class LastUser {
  readonly #key: string
  #uid: string | undefined

  constructor(place: string) {
    this.#key = `${place} user`
    this.#uid = storage()?.getItem(this.#key) ?? undefined
  }

  get uid(): string | undefined {
    return this.#uid
  }

  is(uid: string | undefined): void {
    if (uid === undefined || uid === this.#uid) return
    this.#uid = uid
    try {
      storage()?.setItem(this.#key, uid)
    } catch {
      // Full or refused: it is known for as long as the page lives, and the outbox says for itself that it cannot keep anything.
    }
  }
}

function storage(): Storage | undefined {
  try {
    // Node's own is of no use: it asks for a file.
    return typeof document === 'undefined' ? undefined : localStorage
  } catch {
    return undefined // Private modes throw at the very name.
  }
}
