/**
 * Looks over the index of a table. LevelDB reads an index without looking at its checksum, and a flipped bit in it
 * hides the entries it leads to.
 */
import { open, type FileHandle } from 'node:fs/promises'
import { checksum, storedChecksum } from './level-checksum.ts'

const footerBytes = 48
const magic = 0xdb4775248b80fb57n
/** Behind each block: how it is compressed, and the checksum. */
const trailerBytes = 5
/** An index has some 30 bytes for each block of 4 KB; a larger one is none. */
const indexBytesMax = 64 * 1024 * 1024

/** What is wrong, as a sentence, or undefined. */
export async function damageOfTable(path: string): Promise<string | undefined> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    if (size < footerBytes) return `it has ${size} bytes, a table at least ${footerBytes}`
    const footer = await readAt(file, size - footerBytes, footerBytes)
    if (footer.readBigUInt64LE(footerBytes - 8) !== magic) return 'its end is not that of a table'
    const [, , offset, length] = numbersOf(footer)
    if (offset === undefined || length === undefined || length > indexBytesMax || offset + length + trailerBytes > size - footerBytes)
      return 'its index lies outside of it'
    const index = await readAt(file, offset, length + trailerBytes)
    const isWhole = index.length === length + trailerBytes && checksum(index, 0, length + 1) === storedChecksum(index, length + 1)
    return isWhole ? undefined : `its index, at byte ${offset}, fails its checksum`
  } finally {
    await file.close()
  }
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(length), 0, length, position)
  return buffer.subarray(0, bytesRead)
}

/** Offset and length of the index of indexes and of the index, seven bits to a byte. */
function numbersOf(footer: Buffer): number[] {
  const numbers: number[] = []
  for (let at = 0; numbers.length < 4 && at < footerBytes - 8;) {
    let value = 0
    let byte = 128
    for (let unit = 1; byte > 127 && at < footerBytes - 8; unit *= 128) {
      byte = footer[at++] as number
      value += (byte & 127) * unit
    }
    numbers.push(value)
  }
  return numbers
}
