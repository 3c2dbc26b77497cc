/** Positions, as far as the SDK looks into them [P-2.1]: the form is checked where the app gives one. */
import { ClientError } from './errors.ts'

const form = /^[A-Za-z0-9_-]{8}\.(0|[1-9][0-9]{0,15})\.[A-Za-z0-9_-]{4}$/

export function checkPosition(text: string): string {
  if (!form.test(text)) throw new ClientError('bad-position', `${JSON.stringify(text.slice(0, 64))} is not a position (epoch.seq.mark)`)
  return text
}

export function seqOf(pos: string): number {
  return Number(pos.slice(9, -5))
}

export function sameHistory(a: string, b: string): boolean {
  return a.slice(0, 8) === b.slice(0, 8)
}
