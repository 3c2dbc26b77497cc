/** What will happen when, in order of time; of things at the same time in the order in which they were put there. */
interface Item {
  readonly atMs: number
  readonly number: number
  readonly happen: () => void
}

export class Agenda {
  nowMs = 0
  readonly #heap: Item[] = []
  #number = 0

  at(atMs: number, happen: () => void): void {
    const heap = this.#heap
    const item = { atMs: Math.max(atMs, this.nowMs), number: this.#number++, happen }
    let place = heap.push(item) - 1
    while (place > 0) {
      const parent = (place - 1) >> 1
      if (!isBefore(item, heap[parent] as Item)) break
      heap[place] = heap[parent] as Item
      place = parent
    }
    heap[place] = item
  }

  /** Lets everything happen, also what that brings, until nothing is left. */
  run(): void {
    for (let item = this.#take(); item; item = this.#take()) {
      this.nowMs = item.atMs
      item.happen()
    }
  }

  #take(): Item | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (!last || heap.length === 0) return first
    let place = 0
    for (;;) {
      let child = 2 * place + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Item, heap[child] as Item)) child++
      if (!isBefore(heap[child] as Item, last)) break
      heap[place] = heap[child] as Item
      place = child
    }
    heap[place] = last
    return first
  }
}

function isBefore(a: Item, b: Item): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.number < b.number)
}
