/** What the page under test and the test say to each other. */
import type { ClientOptions } from 'tidemark/client'

export interface Opening {
  readonly url: string
  /** To be read, and from where. */
  readonly streams: Readonly<Record<string, string>>
  readonly options?: Pick<ClientOptions, 'transport' | 'shareTabs' | 'bounds'>
  /** Tells how many entries have come and how many of them not in their place, instead of each. */
  readonly countOnly?: boolean
}

export interface App {
  open(opening: Opening): void
  /** All at once, under the ids `{name}-1` and so on. */
  publish(stream: string, name: string, count: number, bytes?: number): void
  /** Publishes again and again until `stop`. */
  pump(stream: string, name: string, lanes: number): void
  stop(): void
  retry(): void
  dismiss(id: string): Promise<void>
  /** How many publishes the browser's database holds. */
  kept(): Promise<number>
  longestTaskMs(): number
}

declare global {
  var app: App
}

export type Outcome =
  | { readonly outcome: 'committed'; readonly pos: string; readonly duplicate: boolean }
  | { readonly outcome: 'refused'; readonly code: string }

export type Told =
  | {
      readonly what: 'status'
      readonly connection: string
      readonly error: string | undefined
      readonly transport: string | undefined
      readonly pending: number
      readonly outbox: string
      readonly leader: boolean
    }
  | {
      readonly what: 'entry'
      readonly stream: string
      readonly seq: number
      readonly id: string
      readonly pos: string
      readonly data: unknown
    }
  | { readonly what: 'counted'; readonly stream: string; readonly count: number; readonly faults: number }
  | { readonly what: 'progress'; readonly stream: string; readonly behind: number; readonly live: boolean }
  | { readonly what: 'reset'; readonly stream: string; readonly reason: string }
  | { readonly what: 'ended'; readonly stream: string; readonly code: string }
  | { readonly what: 'warning'; readonly code: string; readonly message: string }
  | { readonly what: 'refused'; readonly ids: readonly string[] }
  | { readonly what: 'pumped'; readonly name: string; readonly count: number }
  /** Told to the listener of the outbox. */
  | ({ readonly what: 'settled'; readonly id: string; readonly stream: string } & Outcome)
  /** Told to whoever has called. */
  | ({ readonly what: 'promise'; readonly id: string; readonly stream: string } & Outcome)
