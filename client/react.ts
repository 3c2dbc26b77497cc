/** The SDK in React: hooks that show a stream, a state and the status. React 18 or newer. */
import { useCallback, useMemo, useState, useSyncExternalStore } from 'react'
import type { Client, EntriesOptions, StateMap, StateOptions, Status, Stream } from './api.ts'
import type { Entry } from './entry.ts'
import { asClientError, type ClientError } from './errors.ts'

export interface UseStreamOptions extends Pick<EntriesOptions, 'from' | 'topic'> {
  /** How many of the newest entries are shown. Default 1,000. */
  readonly last?: number
}

export interface StreamView {
  /** By position, the newest ones. The same array until something changes. */
  readonly entries: readonly Entry[]
  /** Whether all that there is has come. */
  readonly live: boolean
  /** Why nothing more comes. */
  readonly error: ClientError | undefined
}

export interface StateView {
  /** As `StateMap.entries()`. */
  readonly entries: readonly Entry[]
  readonly get: (topic: string) => Entry | undefined
  readonly status: StateMap['status']
  readonly error: ClientError | undefined
}

const noEntries: readonly Entry[] = []
const emptyView: StreamView = { entries: noEntries, live: false, error: undefined }
const emptyState: StateView = { entries: noEntries, get: () => undefined, status: 'loading', error: undefined }
const serverStatus: Status = {
  connection: 'connecting',
  error: undefined,
  transport: undefined,
  pending: 0,
  behind: undefined,
  outbox: 'opening',
  leader: false,
  uid: undefined,
}

/**
 * The entries of a stream, as they come. A `from` that changes later begins nothing anew: give the component another
 * `key` for that. On a server it is empty.
 */
export function useStream(stream: Stream, { from, topic, last = 1_000 }: UseStreamOptions = {}): StreamView {
  const [start] = useState(from)
  const source = useMemo(
    () => streamSource(stream, last, { ...(start !== undefined && { from: start }), ...(topic !== undefined && { topic }) }),
    [stream, topic, last, start],
  )
  return useSyncExternalStore(source.subscribe, source.get, () => emptyView)
}

/** The state below a prefix, live, with what waits to be published in advance. On a server it is empty. */
export function useStateMap(stream: Stream, prefix = '', { optimistic }: StateOptions = {}): StateView {
  const source = useMemo(() => stateSource(stream, prefix, optimistic), [stream, prefix, optimistic])
  return useSyncExternalStore(source.subscribe, source.get, () => emptyState)
}

/** The status of the client. */
export function useStatus(client: Client): Status {
  const { status } = client
  const subscribe = useCallback((changed: () => void) => status.subscribe(changed), [status])
  return useSyncExternalStore(
    subscribe,
    useCallback(() => status.get(), [status]),
    () => serverStatus,
  )
}

/** What `useSyncExternalStore` takes: nothing is read before the first subscriber and after the last one. */
interface Source<View> {
  readonly get: () => View
  readonly subscribe: (changed: () => void) => () => void
}

/** Strict mode subscribes twice: the second time it begins anew. */
function streamSource(stream: Stream, last: number, options: EntriesOptions): Source<StreamView> {
  let view = emptyView
  return {
    get: () => view,
    subscribe(changed) {
      let next: StreamView = emptyView
      let fresh: Entry[] = []
      let timer: ReturnType<typeof setTimeout> | undefined
      let isOver = false
      // One rendering for all that comes in a turn: a first sync brings thousands.
      const tell = (change: Partial<StreamView>): void => {
        next = { ...next, ...change }
        timer ??= setTimeout(() => {
          timer = undefined
          next = { ...next, entries: fresh.length === 0 ? next.entries : [...next.entries, ...fresh].slice(-last) }
          fresh = []
          view = next
          changed()
        }, 0)
      }
      const follow = async (): Promise<void> => {
        const reader = stream.entries({
          ...options,
          onProgress: ({ live }) => tell({ live }),
          onReset: () => {
            fresh = []
            tell({ entries: noEntries })
          },
        })
        leave = () => void reader.return()
        for await (const entry of reader) {
          fresh.push(entry)
          if (fresh.length > 2 * last) fresh = fresh.slice(-last)
          tell({})
        }
      }
      let leave = (): void => {}
      view = emptyView
      follow().catch((thrown: unknown) => {
        if (!isOver) tell({ live: false, error: asClientError(thrown, 'internal') })
      })
      return () => {
        isOver = true
        clearTimeout(timer)
        leave()
      }
    },
  }
}

function stateSource(stream: Stream, prefix: string, optimistic: boolean | undefined): Source<StateView> {
  let view = emptyState
  return {
    get: () => view,
    subscribe(changed) {
      const map = stream.state(prefix, optimistic === undefined ? {} : { optimistic })
      const look = (): void => {
        const { status, error } = map
        view = { entries: map.entries(), get: (topic) => map.get(topic), status, error }
        changed()
      }
      const end = map.subscribe(look)
      look()
      return () => {
        end()
        map.close()
      }
    },
  }
}
