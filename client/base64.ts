/** Bytes as text, without Node's Buffer. */

/** RFC 4648 section 4, with padding [P-3.16]. */
export function base64Of(bytes: Uint8Array): string {
  let text = ''
  // In pieces: as arguments, many bytes would not fit on the stack.
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192))
  return btoa(text)
}

/** Section 5, without padding. */
export function base64UrlOf(bytes: Uint8Array): string {
  return base64Of(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

/** Reads section 4; throws where the text is something else. */
export function bytesOfBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
}
