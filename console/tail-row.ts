/** One entry in the tail: a line, and everything about it behind it. */
import type { Entry, Receipt } from '../client/index.ts'
import { h } from './dom.ts'
import { durationOf, payloadOf, previewOf, timeOf } from './format.ts'

export interface RowActions {
  /** Fills the publish box for the next version of this entry. */
  edit(entry: Entry): void
}

export function rowOf(entry: Entry, actions: RowActions): HTMLLIElement {
  const { seq, topic, from, client, ts } = entry
  const details = h(
    'details',
    {
      ontoggle: () => {
        if (details.open && details.children.length === 1) details.append(detailOf(entry, actions))
        if (details.open) details.scrollIntoView({ block: 'nearest' })
      },
    },
    h(
      'summary',
      {},
      h('span', { class: 'seq' }, seq === 0 ? '–' : `#${seq}`),
      h('time', { datetime: new Date(ts).toISOString() }, timeOf(ts)),
      h('span', { class: 'topic' }, topic, ...marksOf(entry)),
      h('span', { class: 'from', title: `${from} · ${client}` }, from),
      h('span', { class: entry.deleted ? 'payload removed' : 'payload' }, previewOf(entry)),
    ),
  )
  return h('li', { class: entry.snapshot ? 'old' : '' }, details)
}

function marksOf({ retain, deleted, ephemeral, snapshot, error }: Entry): HTMLElement[] {
  const marks = [retain && !deleted && 'retained', ephemeral && 'ephemeral', snapshot && 'state', error && 'unreadable']
  return marks.flatMap((mark) => (mark ? [h('span', { class: 'mark' }, mark)] : []))
}

function detailOf(entry: Entry, actions: RowActions): HTMLElement {
  const { pos, id, from, client, ts, retain, receipt, format } = entry
  const facts: [string, string][] = [
    ['position', pos || 'none: never logged'],
    ['id', id || 'none'],
    ['from', `${from} · ${client}`],
    ['time', new Date(ts).toISOString()],
  ]
  return h(
    'div',
    { class: 'detail' },
    format !== 'none' && payloadView(entry),
    h('dl', {}, ...facts.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)])),
    receipt && hopsOf(receipt),
    retain && h('button', { class: 'small', onclick: () => actions.edit(entry) }, 'Publish next version'),
  )
}

/** As JSON over several lines, or as the text that it is. */
function payloadView(entry: Entry): HTMLElement {
  const text = h('pre', { tabindex: 0, 'aria-label': 'Payload' }, payloadOf(entry, true))
  if (entry.format !== 'json') return text
  const toggle = h(
    'button',
    {
      class: 'small',
      'aria-pressed': 'false',
      onclick: () => {
        const asText = toggle.getAttribute('aria-pressed') === 'false'
        toggle.setAttribute('aria-pressed', String(asText))
        text.textContent = payloadOf(entry, !asText)
      },
    },
    'As text',
  )
  return h('div', {}, text, toggle)
}

function hopsOf({ received, authorised, committed, written, delivered, deliveredErrorMs }: Receipt): HTMLElement {
  const logged = committed ?? authorised
  const steps: [string, number][] = [
    ['authorised', authorised - received],
    ['on disk', logged - authorised],
    ['written out', written - logged],
    ['here', delivered - written],
  ]
  const words = steps.map(([name, ms]) => `${name} +${durationOf(Math.max(0, ms))}`).join(' · ')
  return h('p', { class: 'hops', title: `the last one ± ${durationOf(deliveredErrorMs)}` }, `received · ${words}`)
}
