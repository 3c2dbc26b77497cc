/** JSON values in the embedded store with their CRC-32 in front: LevelDB does not check its tables when it reads them. */
import { crc32 } from 'node:zlib'

export function encodeValue(value: unknown): Buffer {
  const text = JSON.stringify(value)
  const bytes = Buffer.allocUnsafe(4 + Buffer.byteLength(text))
  bytes.write(text, 4)
  bytes.writeUInt32BE(crc32(bytes.subarray(4)))
  return bytes
}

/** Throws an Error that names the value if it is damaged. */
export function decodeValue(bytes: Buffer, name: string): unknown {
  if (bytes.length < 4 || crc32(bytes.subarray(4)) !== bytes.readUInt32BE(0)) throw new Error(`${name} fails its checksum`)
  return JSON.parse(bytes.toString('utf8', 4))
}
