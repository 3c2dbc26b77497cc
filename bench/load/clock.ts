/** One monotonic clock that all processes of this machine share. */
const offsetMicros = Number(process.hrtime.bigint() / 1000n) - performance.now() * 1000

/** Microseconds since the machine started. */
export function nowMicros(): number {
  return offsetMicros + performance.now() * 1000
}
