/** The checksum in LevelDB's files: CRC-32C (Castagnoli), stored rotated and shifted. Node has only the other polynomial. */
export function checksum(bytes: Buffer, start: number, end: number): number {
  let crc = 0xffffffff
  for (let at = start; at < end; at++) crc = (table[(crc ^ (bytes[at] as number)) & 255] as number) ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}

/** Whether the bytes from `start` on have that checksum with some end up to `last`. */
export function hasChecksumWithin(bytes: Buffer, start: number, last: number, wanted: number): boolean {
  let crc = 0xffffffff
  for (let at = start; at < last; at++) {
    crc = (table[(crc ^ (bytes[at] as number)) & 255] as number) ^ (crc >>> 8)
    if ((crc ^ 0xffffffff) >>> 0 === wanted) return true
  }
  return false
}

/** The checksum that stands at `at`. */
export function storedChecksum(bytes: Buffer, at: number): number {
  const rotated = (bytes.readUInt32LE(at) - 0xa282ead8) >>> 0
  return ((rotated >>> 17) | (rotated << 15)) >>> 0
}

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc
})
