/** What a payload carries: when it was sent, its place in the publisher's sequence, and of which run it is. */

/** Offsets in the payload; the rest is filling. */
export const stampOffset = { sentMicros: 0, sequence: 8, run: 12 } as const
export const stampBytes = 16

export function stampedPayload(sizeBytes: number, run: number): Buffer {
  const payload = Buffer.alloc(Math.max(sizeBytes, stampBytes), 'x')
  payload.writeUInt32LE(run, stampOffset.run)
  return payload
}

/** Distinguishes the runs of one machine. */
export function drawRun(): number {
  return Math.floor(Math.random() * 0xffff_ffff)
}
