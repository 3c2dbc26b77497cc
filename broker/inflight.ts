/** QoS 1 deliveries of a connection that wait for their PUBACK, in the order in which they were sent. */

/** Whose delivery was acknowledged. */
export interface DeliveryOwner {
  /** The oldest delivery of this owner that was still open, by what it was sent as. */
  acknowledged(seq: number): void
}

const slotsAtFirst = 64
const none = { ids: new Uint16Array(0), seqs: new Float64Array(0), done: new Uint8Array(0), owners: [] }

export class Inflight {
  readonly #max: number
  /** Deliveries from the oldest open one on, acknowledged ones between them included. */
  count = 0
  /** A ring, made with the first delivery: an idle connection has none. */
  #ids = none.ids
  #seqs = none.seqs
  #done = none.done
  #owners: (DeliveryOwner | undefined)[] = none.owners
  #oldest = 0
  #nextId = 1

  constructor(max: number) {
    // Ids in flight stay distinct because the window is smaller than the number of ids.
    this.#max = Math.min(max, 32_768)
  }

  get room(): number {
    return this.#max - this.count
  }

  /** Counts one more delivery and returns its packet id. */
  push(owner: DeliveryOwner, seq: number): number {
    if (this.count === this.#ids.length) this.#grow()
    const slot = (this.#oldest + this.count++) & (this.#ids.length - 1)
    const id = this.#nextId
    this.#nextId = id === 65_535 ? 1 : id + 1
    this.#ids[slot] = id
    this.#seqs[slot] = seq
    this.#done[slot] = 0
    this.#owners[slot] = owner
    return id
  }

  /** Takes a PUBACK; owners hear of their deliveries in order. An unknown id has no effect [MQTT-4.4.0-1]. */
  acknowledge(id: number): void {
    const mask = this.#ids.length - 1
    for (let at = 0; at < this.count; at++) {
      const slot = (this.#oldest + at) & mask
      if (this.#ids[slot] !== id || this.#done[slot] === 1) continue
      this.#done[slot] = 1
      break
    }
    while (this.count > 0 && this.#done[this.#oldest] === 1) {
      const slot = this.#oldest
      const owner = this.#owners[slot]
      this.#owners[slot] = undefined
      this.#oldest = (slot + 1) & mask
      this.count--
      owner?.acknowledged(this.#seqs[slot] as number)
    }
  }

  #grow(): void {
    const old = this.#ids.length
    const size = old === 0 ? slotsAtFirst : old * 2
    const ids = new Uint16Array(size)
    const seqs = new Float64Array(size)
    const done = new Uint8Array(size)
    const owners: (DeliveryOwner | undefined)[] = Array.from({ length: size })
    for (let at = 0; at < this.count; at++) {
      const slot = (this.#oldest + at) & (old - 1)
      ids[at] = this.#ids[slot] as number
      seqs[at] = this.#seqs[slot] as number
      done[at] = this.#done[slot] as number
      owners[at] = this.#owners[slot]
    }
    this.#ids = ids
    this.#seqs = seqs
    this.#done = done
    this.#owners = owners
    this.#oldest = 0
  }
}
