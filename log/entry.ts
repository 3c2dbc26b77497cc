/** One logged message, as readers see it. */
export interface Entry {
  readonly seq: number
  readonly mark: string
  readonly id: string
  /** ms since 1970, never smaller than the entry before. */
  readonly ts: number
  readonly from: string
  readonly client: string
  readonly topic: string
  readonly payload: Buffer
  readonly retain: boolean
  readonly qos: 0 | 1 | 2
}
