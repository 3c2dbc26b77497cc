/** Positions as the protocol describes them [P-2.2, P-2.3, P-2.4], read without the product's code. */
export interface Position {
  readonly epoch: string
  readonly seq: number
  readonly mark: string
}

export function parsePosition(text: string): Position | undefined {
  const found = /^([A-Za-z0-9_-]{8})\.(0|[1-9]\d{0,15})\.([A-Za-z0-9_-]{4})$/.exec(text)
  if (!found) return undefined
  const [, epoch = '', seq = '', mark = ''] = found
  return { epoch, seq: Number(seq), mark }
}

/** The seq of a position; -1 where it is none. */
export function seqOf(text: string | undefined): number {
  return (text === undefined ? undefined : parsePosition(text)?.seq) ?? -1
}
