/** Elements without a framework: make them, fill them, keep a list of them in step with data. */

type Props = Readonly<Record<string, string | number | boolean | undefined | ((event: Event) => void)>>
type Child = Node | string | false | undefined

/** An element. Members that begin with `on` are listeners; `false` and `undefined` leave an attribute out. */
export function h<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[Name] {
  return fill(document.createElement(name), props, children)
}

/** An element of a drawing. */
export function s<Name extends keyof SVGElementTagNameMap>(
  name: Name,
  props: Props = {},
  ...children: Child[]
): SVGElementTagNameMap[Name] {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', name), props, children)
}

function fill<Made extends Element>(element: Made, props: Props, children: readonly Child[]): Made {
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === 'function') element.addEventListener(name.slice('on'.length), value)
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? '' : String(value))
  }
  element.append(...children.filter((child) => child !== false && child !== undefined))
  return element
}

/** Writes only what has changed, so that readers of the screen hear of changes only. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

/** The children of a list, one per item: kept, made, moved and removed as the items say. */
export class Keyed<Item, Made extends Element> {
  readonly #parent: Element
  readonly #make: (item: Item) => Made
  readonly #update: (element: Made, item: Item) => void
  #shown = new Map<string, Made>()

  constructor(parent: Element, make: (item: Item) => Made, update: (element: Made, item: Item) => void = () => {}) {
    this.#parent = parent
    this.#make = make
    this.#update = update
  }

  show(items: readonly Item[], keyOf: (item: Item) => string): void {
    const next = new Map<string, Made>()
    for (const item of items) {
      const key = keyOf(item)
      const element = this.#shown.get(key) ?? this.#make(item)
      this.#update(element, item)
      next.set(key, element)
    }
    for (const [key, element] of this.#shown) if (!next.has(key)) element.remove()
    let before: Element | null = null
    for (const element of [...next.values()].toReversed()) {
      // Moving an element that stands right would take the focus away from it.
      if (element.parentNode !== this.#parent || element.nextSibling !== before) this.#parent.insertBefore(element, before)
      before = element
    }
    this.#shown = next
  }
}

/** Calls once per frame, however often it is asked; at once where the page is hidden and has no frames. */
export function onFrame(call: () => void): () => void {
  let asked = false
  const run = (): void => {
    asked = false
    call()
  }
  return () => {
    if (asked) return
    asked = true
    if (document.hidden) setTimeout(run)
    else requestAnimationFrame(run)
  }
}
