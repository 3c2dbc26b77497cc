/** What a browser has for pages that work together. */

/** Web Locks, as far as tabs need them. */
export interface Locks {
  /** Calls when the lock is ours, which it is until the answer resolves. The signal ends only the waiting. */
  request(name: string, options: { readonly signal: AbortSignal }, held: () => Promise<void>): Promise<unknown>
}

export type Channel = Pick<BroadcastChannel, 'postMessage' | 'addEventListener' | 'close'>

export interface TabPlatform {
  readonly locks: Locks
  channel(name: string): Channel
}

/** Undefined where a page must do alone: outside of browsers (clients of one process are no tabs), and on pages that are not secure. */
export function browserTabs(): TabPlatform | undefined {
  if (typeof document === 'undefined' || typeof BroadcastChannel === 'undefined' || !('locks' in navigator)) return undefined
  return { locks: navigator.locks, channel: (name) => new BroadcastChannel(name) }
}
