/**
 * How much a test does that does one thing again and again: all of it where `TIDEMARK_TEST_AMOUNT` is `full`, as in CI, and otherwise
 * as much as finds what somebody has just broken.
 */
export function amount(full: number, otherwise: number): number {
  return process.env['TIDEMARK_TEST_AMOUNT'] === 'full' ? full : otherwise
}
