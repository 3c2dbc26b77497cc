/** Asking the store where streams end: concurrent questions about one stream are shared [P-2.18]. */
import type { Stream } from './stream.ts'

interface Question {
  readonly running: Promise<void>
  next: Promise<void> | undefined
}

export class Confirmations {
  readonly #ask: (stream: Stream) => Promise<void>
  readonly #questions = new Map<Stream, Question>()

  /** `ask` brings in what the store has. */
  constructor(ask: (stream: Stream) => Promise<void>) {
    this.#ask = ask
  }

  /** Resolves once a question has been answered that was asked after the call. */
  confirm(stream: Stream): Promise<void> {
    const question = this.#questions.get(stream)
    // One already on its way may have been answered before this call was made: it takes the next one.
    if (question) return (question.next ??= question.running.catch(() => {}).then(() => this.#begin(stream)))
    return this.#begin(stream)
  }

  #begin(stream: Stream): Promise<void> {
    const running = this.#ask(stream).finally(() => {
      if (this.#questions.get(stream)?.running === running) this.#questions.delete(stream)
    })
    this.#questions.set(stream, { running, next: undefined })
    return running
  }
}
