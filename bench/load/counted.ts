/** Messages that can be counted on every door: JSON of a fixed length whose number stands behind a marker. */
import { inbox } from './inbox.ts'

const marker = Buffer.from('"n":"')
const digits = 10
const zero = 48

/** `{"n":"0000000001","x":"…"}`, of the size where it can be so small. */
export function countedPayload(sizeBytes: number): { payload: Buffer; numberOffset: number } {
  const bare = `{"n":"${'0'.repeat(digits)}","x":""}`
  const payload = Buffer.from(bare.replace('"x":""', `"x":"${'x'.repeat(Math.max(0, sizeBytes - bare.length))}"`))
  return { payload, numberOffset: 1 + marker.length }
}

export function writeNumber(target: Buffer, at: number, number: number): void {
  let left = number
  for (let place = at + digits - 1; place >= at; place--) {
    target[place] = zero + (left % 10)
    left = Math.floor(left / 10)
  }
}

/** The number of the message in `[start, end)`, or 0 where it is none of ours. */
export function readNumber(bytes: Buffer, start: number, end: number): number {
  const found = bytes.indexOf(marker, start)
  if (found < 0 || found + marker.length + digits > end) return 0
  return digitsAt(bytes, found + marker.length)
}

/** As `readNumber` of the inbox where the number's place is known. */
export function inboxNumberAt(at: number): number {
  return digitsAt(inbox, at)
}

/** Calls back with each number in the bytes, in order. */
export function eachNumber(bytes: Buffer, callback: (number: number) => void): void {
  for (let found = bytes.indexOf(marker); found >= 0; found = bytes.indexOf(marker, found + digits)) {
    callback(digitsAt(bytes, found + marker.length))
  }
}

function digitsAt(bytes: Buffer, at: number): number {
  let number = 0
  for (let place = at; place < at + digits; place++) number = number * 10 + (bytes[place] as number) - zero
  return number
}

/** Judges a sequence that should be 1, 2, 3 … `expected`. */
export class Count {
  received = 0
  duplicates = 0
  reordered = 0
  #last = 0
  readonly #seen: Uint8Array

  constructor(expected: number) {
    this.#seen = new Uint8Array(expected + 1)
  }

  see(number: number): void {
    if (number < 1 || number >= this.#seen.length) return
    if (number < this.#last) this.reordered++
    this.#last = number
    if (this.#seen[number] === 1) {
      this.duplicates++
      return
    }
    this.#seen[number] = 1
    this.received++
  }

  get missing(): number {
    return this.#seen.length - 1 - this.received
  }

  get complete(): boolean {
    return this.missing === 0
  }
}
