/**
 * Keys of the MongoDB store. Names of streams and of documents hold no control characters, so that U+0001 ends a name and
 * no name is the beginning of another's keys; numbers are padded, so that keys stand in the order of their numbers.
 */
const end = '\u0001'
const afterEnd = '\u0002'
const digits = 16

/** `name`, then a number: a bucket by its first seq, a version, a generation. */
export function numberedKey(name: string, number: number): string {
  return name + end + String(Math.min(number, Number.MAX_SAFE_INTEGER)).padStart(digits, '0')
}

export function nameOfKey(key: string): string {
  return key.slice(0, -digits - 1)
}

export function numberOfKey(key: string): number {
  return Number(key.slice(-digits))
}

/** Behind every key of the name. */
export function endOfKeys(name: string): string {
  return name + afterEnd
}

export function chunkKey(stream: string, name: string): string {
  return stream + end + name
}
