/** The tree of a stream's topics with what stands there now, live. */
import type { Entry, StateMap, Stream } from '../client/index.ts'
import { h, Keyed, onFrame, setText } from './dom.ts'
import { messageOf, plural, previewOf } from './format.ts'

export interface TopicsParts {
  readonly stream: Stream
  /** A topic was chosen. */
  readonly pick: (entry: Entry) => void
  /** All below a level was chosen. */
  readonly narrow: (filter: string) => void
}

/** Levels and topics shown below one level; a person does not read more. */
const shownMax = 200

interface Level {
  readonly name: string
  /** From the stream down to here. */
  readonly path: string
  readonly below: Map<string, Level>
  entry: Entry | undefined
  count: number
}

export class Topics {
  readonly element: HTMLElement
  readonly #state: StateMap
  readonly #told = h('p', { class: 'told', role: 'status' })
  readonly #root: Branch
  readonly #stop: () => void

  constructor(parts: TopicsParts) {
    this.#state = parts.stream.state('')
    this.#root = new Branch(parts, 0)
    this.element = h('div', { class: 'topics' }, this.#root.element, this.#told)
    const render = onFrame(() => this.#show())
    this.#stop = this.#state.subscribe(render)
    this.#state.ready.then(render, render)
    this.#show()
  }

  /** What stands at a topic now. */
  get(topic: string): Entry | undefined {
    return this.#state.get(topic)
  }

  close(): void {
    this.#stop()
    this.#state.close()
  }

  #show(): void {
    const { status, error, size } = this.#state
    const words = error
      ? messageOf(error)
      : status === 'loading'
        ? 'Loading …'
        : size === 0
          ? 'No retained messages.'
          : plural(size, 'retained topic')
    setText(this.#told, status === 'stale' && !error ? `${words} (as last known)` : words)
    this.#root.show(treeOf(this.#state.entries()))
  }
}

function treeOf(entries: readonly Entry[]): Level {
  const root: Level = { name: '', path: '', below: new Map(), entry: undefined, count: 0 }
  for (const entry of entries) {
    let level = root
    for (const name of entry.topic.split('/')) {
      level.count++
      let next = level.below.get(name)
      if (!next)
        level.below.set(
          name,
          (next = { name, path: level.path === '' ? name : `${level.path}/${name}`, below: new Map(), entry: undefined, count: 0 }),
        )
      level = next
    }
    level.entry = entry
  }
  return root
}

/** The list of what is below one level; deeper ones are made when they are opened. */
class Branch {
  readonly element: HTMLUListElement
  readonly #parts: TopicsParts
  readonly #depth: number
  readonly #nodes = new WeakMap<Element, Node>()
  readonly #items: Keyed<Level, HTMLLIElement>
  readonly #more = h('li', { class: 'told' })

  constructor(parts: TopicsParts, depth: number) {
    this.#parts = parts
    this.#depth = depth
    this.element = h('ul', { class: 'tree' })
    this.#items = new Keyed(
      this.element,
      () => {
        const node = new Node(this.#parts, this.#depth)
        this.#nodes.set(node.element, node)
        return node.element
      },
      (element, level) => this.#nodes.get(element)?.show(level),
    )
  }

  show({ below }: Level): void {
    const levels = [...below.values()].toSorted((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }))
    this.#more.remove()
    this.#items.show(levels.slice(0, shownMax), ({ name }) => name)
    if (levels.length <= shownMax) return
    setText(this.#more, `… and ${levels.length - shownMax} more`)
    this.element.append(this.#more)
  }
}

class Node {
  readonly element = h('li')
  readonly #parts: TopicsParts
  readonly #leaf = h('button', { class: 'leaf', onclick: () => this.#level?.entry && this.#parts.pick(this.#level.entry) })
  readonly #name = h('span', { class: 'name' })
  readonly #value = h('span', { class: 'value' })
  readonly #branch: Branch
  readonly #count = h('span', { class: 'count' })
  readonly #label = h('span', { class: 'name' })
  readonly #details: HTMLDetailsElement
  #level: Level | undefined
  #shown: Entry | undefined

  constructor(parts: TopicsParts, depth: number) {
    this.#parts = parts
    this.#branch = new Branch(parts, depth + 1)
    this.#leaf.append(this.#name, this.#value)
    const all = h('button', { class: 'small', title: 'Show these only', onclick: () => this.#narrow() }, 'filter')
    // Open at first where there is little to see.
    this.#details = h(
      'details',
      { open: depth < 2, ontoggle: () => this.#below() },
      h('summary', {}, this.#label, this.#count, all),
      this.#branch.element,
    )
  }

  show(level: Level): void {
    this.#level = level
    const { entry, below, count, name } = level
    setText(this.#name, name)
    setText(this.#label, `${name}/`)
    setText(this.#count, String(count))
    if (entry) {
      setText(this.#value, previewOf(entry))
      this.#leaf.title = `${entry.topic}, by ${entry.from}`
      this.#leaf.classList.toggle('pending', entry.pending)
      if (this.#shown && this.#shown !== entry) flash(this.#leaf)
      if (!this.#leaf.isConnected) this.element.prepend(this.#leaf)
    } else this.#leaf.remove()
    this.#shown = entry
    if (below.size > 0 && !this.#details.isConnected) this.element.append(this.#details)
    if (below.size === 0) this.#details.remove()
    this.#below()
  }

  #below(): void {
    if (this.#level && this.#details.open) this.#branch.show(this.#level)
  }

  #narrow(): void {
    if (this.#level) this.#parts.narrow(`${this.#level.path}/#`)
  }
}

function flash(element: Element): void {
  element.classList.remove('changed')
  requestAnimationFrame(() => element.classList.add('changed'))
}
