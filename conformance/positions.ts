/** Positions as clients must not take them apart, but a judge may [P-2.1 – P-2.5]. */
import { must } from './check.ts'

export interface Parts {
  readonly epoch: string
  readonly seq: number
  readonly mark: string
}

const form = /^([\w-]{8})\.(0|[1-9]\d{0,15})\.([\w-]{4})$/

/** Throws `Broken` for what is no position. */
export function partsOf(position: unknown): Parts {
  const [, epoch = '', seq = '', mark = ''] = form.exec(String(position)) ?? []
  must(epoch !== '', `${JSON.stringify(position)} has not the form of a position`)
  return { epoch, seq: Number(seq), mark }
}

export function seqOf(position: unknown): number {
  return partsOf(position).seq
}

export function positionOf({ epoch, seq, mark }: Parts): string {
  return `${epoch}.${seq}.${mark}`
}

/** Another text of the same form. */
export function other(text: string): string {
  return (text.startsWith('x') ? 'y' : 'x') + text.slice(1)
}

/** The sequence numbers of envelopes; throws `Broken` where they are not consecutive. */
export function mustBeContiguous(positions: readonly unknown[], what: string): void {
  const seqs = positions.map(seqOf)
  const at = seqs.findIndex((seq, index) => index > 0 && seq !== (seqs[index - 1] as number) + 1)
  must(at < 0, `${what}: seq ${seqs[at]} comes after ${seqs[at - 1]}`)
}
