/** The publish box: what, where, retained or not, and under which condition. */
import { ClientError, type Client, type Entry, type PublishOptions, type Stream } from '../client/index.ts'
import { h, Keyed } from './dom.ts'
import { durationOf, messageOf, payloadOf, previewOf } from './format.ts'

export interface PublishParts {
  readonly client: Client
  readonly stream: Stream
  /** What stands at a topic now. */
  readonly current: (topic: string) => Entry | undefined
}

type Format = 'json' | 'text' | 'delete'

export class PublishBox {
  readonly element: HTMLElement
  readonly #parts: PublishParts
  readonly #topic = h('input', { id: 'publish-topic', required: true, placeholder: 'cards/12', autocomplete: 'off', spellcheck: 'false' })
  readonly #payload = h('textarea', { id: 'publish-payload', rows: 3, spellcheck: 'false', placeholder: '{"title": "Ship it"}' })
  readonly #format = selectOf('publish-format', [
    ['json', 'JSON'],
    ['text', 'text'],
    ['delete', 'nothing (delete)'],
  ])
  readonly #retain = h('input', { id: 'publish-retain', type: 'checkbox' })
  readonly #condition = selectOf('publish-if', [
    ['any', 'none'],
    ['none', 'if nothing is there'],
    ['pos', 'if still at position'],
  ])
  readonly #position = h('input', { 'aria-label': 'Position', placeholder: 'position', autocomplete: 'off', spellcheck: 'false' })
  readonly #told = h('div', { class: 'outcome', role: 'status' })
  readonly #refused: HTMLElement
  readonly #stop: () => void

  constructor(parts: PublishParts) {
    this.#parts = parts
    const changed = (): void => this.#arrange()
    for (const field of [this.#format, this.#condition, this.#retain]) field.addEventListener('change', changed)
    this.#refused = h('ul', { class: 'refused' })
    this.#stop = this.#showRefused()
    this.element = h(
      'form',
      {
        class: 'publish',
        onsubmit: (event) => {
          event.preventDefault()
          void this.#publish()
        },
        // As in most boxes of this kind, from within the text too.
        onkeydown: (event) => {
          const { key, ctrlKey, metaKey } = event as KeyboardEvent
          if (key === 'Enter' && (ctrlKey || metaKey)) this.#submit()
        },
      },
      h('div', { class: 'line' }, h('label', { for: 'publish-topic' }, `${parts.stream.name}/`), this.#topic),
      this.#payload,
      h(
        'div',
        { class: 'line' },
        h('span', { class: 'pair' }, h('label', { for: 'publish-format' }, 'as'), this.#format),
        h('label', { class: 'check' }, this.#retain, ' retain'),
        h('span', { class: 'pair' }, h('label', { for: 'publish-if' }, 'condition'), this.#condition),
        this.#position,
        h('button', { class: 'primary', title: 'Ctrl+Enter' }, 'Publish'),
      ),
      this.#told,
      this.#refused,
    )
    this.#payload.setAttribute('aria-label', 'Payload')
    this.#arrange()
  }

  /** Prepares the next version of an entry: its topic, its payload, and that nobody else came between. */
  edit(entry: Entry): void {
    const standing = this.#parts.current(entry.topic) ?? entry
    this.#topic.value = entry.topic
    this.#format.value = standing.format === 'text' ? 'text' : 'json'
    this.#payload.value = payloadOf(standing, true)
    this.#retain.checked = true
    this.#condition.value = standing.pos === '' || standing.deleted ? 'any' : 'pos'
    this.#position.value = standing.pos
    this.#arrange()
    this.#payload.focus()
  }

  close(): void {
    this.#stop()
  }

  #submit(): void {
    if (this.element instanceof HTMLFormElement) this.element.requestSubmit()
  }

  /** Fields that say nothing at the moment are not there; a condition speaks of what is retained. */
  #arrange(): void {
    const format = this.#format.value as Format
    if (format === 'delete' || this.#condition.value !== 'any') this.#retain.checked = true
    this.#retain.disabled = format === 'delete' || this.#condition.value !== 'any'
    this.#payload.hidden = format === 'delete'
    this.#position.hidden = this.#condition.value !== 'pos'
    this.#position.required = !this.#position.hidden
  }

  async #publish(): Promise<void> {
    let value: unknown
    try {
      value = this.#value()
    } catch (error) {
      return this.#say('bad', `This is no JSON: ${messageOf(error)}`)
    }
    const begunMs = performance.now()
    this.#say('', 'Publishing …')
    try {
      const { pos, duplicate } = await this.#parts.stream.publish(this.#topic.value.trim(), value, this.#options())
      const [, seq] = pos.split('.')
      this.#say(
        'good',
        `On disk as #${seq}${duplicate ? ', where it stood already' : ''}, after ${durationOf(performance.now() - begunMs)}.`,
      )
      if (this.#condition.value === 'pos') this.#position.value = pos
    } catch (error) {
      this.#failed(error)
    }
  }

  #value(): unknown {
    const format = this.#format.value as Format
    if (format === 'delete') return undefined
    return format === 'text' ? this.#payload.value : (JSON.parse(this.#payload.value) as unknown)
  }

  #options(): PublishOptions {
    const condition = this.#condition.value
    return {
      retain: this.#retain.checked,
      as: this.#format.value === 'text' ? 'text' : 'json',
      ...(condition === 'none' ? { if: 'none' } : condition === 'pos' ? { if: this.#position.value.trim() } : {}),
    }
  }

  #failed(error: unknown): void {
    if (!(error instanceof ClientError) || error.code !== 'conflict') return this.#say('bad', messageOf(error))
    const current = error.details['current'] as Entry | null
    const standing = current ? `${current.from} wrote #${current.seq}: ${previewOf(current)}` : 'Nothing is there now.'
    this.#say(
      'bad',
      `Conflict: somebody came before. ${standing}`,
      current !== null && h('button', { class: 'small', type: 'button', onclick: () => this.edit(current) }, 'Take theirs and edit'),
    )
  }

  #say(kind: '' | 'good' | 'bad', words: string, ...more: (HTMLElement | false)[]): void {
    this.#told.className = `outcome ${kind}`
    this.#told.replaceChildren(words, ...more.filter((one) => one !== false))
  }

  /** Refused ones whose caller is gone, as after a reload. */
  #showRefused(): () => void {
    const { outbox } = this.#parts.client
    const rows = new Keyed<{ id: string; words: string }, HTMLLIElement>(this.#refused, ({ id, words }) =>
      h('li', {}, h('span', {}, words), h('button', { class: 'small', type: 'button', onclick: () => void outbox.dismiss(id) }, 'Dismiss')),
    )
    return outbox.refused.subscribe((refused) => {
      rows.show(
        refused.map(({ id, topic, error }) => ({ id, words: `${topic} was refused: ${messageOf(error)}` })),
        ({ id }) => id,
      )
    })
  }
}

function selectOf(id: string, options: readonly (readonly [string, string])[]): HTMLSelectElement {
  return h('select', { id }, ...options.map(([value, text]) => h('option', { value }, text)))
}
