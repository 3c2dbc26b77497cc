import { base64UrlOf } from './base64.ts'

const idBytes = 16
/** Random bytes that no id has had yet; one call for many costs what one for a single id does. */
const pool = new Uint8Array(64 * idBytes)
let left = 0

/** Without `randomUUID`, which browsers have on secure pages only. */
export function freshId(): string {
  if (left === 0) left = crypto.getRandomValues(pool).length
  left -= idBytes
  return base64UrlOf(pool.subarray(left, left + idBytes))
}
