/** Times, payloads and errors in words. */
import { ClientError, type Entry } from '../client/index.ts'

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' })
const day = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric' })

/** `14:03:22.118`, with the day in front where it is not today. */
export function timeOf(ms: number): string {
  const date = new Date(ms)
  const text = `${clock.format(date)}.${String(ms % 1000).padStart(3, '0')}`
  return date.toDateString() === new Date().toDateString() ? text : `${day.format(date)} ${text}`
}

/** `3 min ago`. */
export function agoOf(ms: number, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - ms) / 1000))
  if (seconds < 5) return 'just now'
  if (seconds < 90) return `${seconds} s ago`
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min ago`
  if (seconds < 129_600) return `${Math.round(seconds / 3_600)} h ago`
  return `${Math.round(seconds / 86_400)} days ago`
}

/** The payload in one line. */
export function previewOf(entry: Entry): string {
  if (entry.error) return `cannot be read: ${entry.error.message}`
  if (entry.deleted) return 'deleted'
  return payloadOf(entry, false).slice(0, 400)
}

/** The payload as text; JSON over several lines where `pretty`. */
export function payloadOf({ data, format }: Entry, pretty: boolean): string {
  if (format === 'none') return ''
  if (format === 'json') return JSON.stringify(data, null, pretty ? 2 : undefined)
  return format === 'text' ? String(data) : hexOf(data as Uint8Array, pretty)
}

function hexOf(bytes: Uint8Array, pretty: boolean): string {
  const shown = bytes.subarray(0, pretty ? 4_096 : 64)
  const text = Array.from(shown, (byte) => byte.toString(16).padStart(2, '0')).join(' ')
  return shown.length < bytes.length ? `${text} … ${bytes.length} bytes` : text
}

export function messageOf(error: unknown): string {
  if (error instanceof ClientError) return error.message
  return error instanceof Error ? error.message : String(error)
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`
}

/** `0.4 ms`, `12 ms`, `3.4 s`. */
export function durationOf(ms: number): string {
  if (ms < 10 && !Number.isInteger(ms)) return `${ms.toFixed(1)} ms`
  return ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
}
