import { base64UrlOf } from './base64.ts'

/** Without `randomUUID`, which browsers have on secure pages only. */
export function freshId(): string {
  return base64UrlOf(crypto.getRandomValues(new Uint8Array(16)))
}
