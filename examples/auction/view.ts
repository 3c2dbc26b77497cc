/** What the page shows. It knows nothing of where that comes from. */
import { euros, type Auction, type Bid } from './rules.ts'
import { hopsOf } from './trace.ts'

/** Bids in the list. */
const shownMax = 20

export interface Standing {
  readonly name: string
  readonly connection: string
  readonly pending: number
  readonly isOnline: boolean
}

export function drawStanding({ name, connection, pending, isOnline }: Standing): void {
  write('status', `${name}: ${connection}${pending > 0 ? `, ${pending} on the way` : ''}`)
  const offline = byId('offline', HTMLElement)
  if (isOnline === offline.hidden) return
  offline.hidden = isOnline
  write('offline', `You are offline. This is how it stood at ${new Date().toLocaleTimeString()}; you can bid when you are back.`)
}

/** `now`: on the server's clock, as far as it is known. */
export function drawAuction({ lot, sale, highest, minimum }: Auction, name: string, isOnline: boolean, now: number): void {
  const who = (uid: string): string => (uid === name ? 'you' : uid)
  write('title', lot ? `Lot ${lot.number}: ${lot.title}` : 'Nothing is for sale yet')
  write('price', highest ? euros(highest.amount) : lot ? `From ${euros(lot.start)}` : '')
  const sold = sale?.winner ? `sold to ${who(sale.winner)}` : 'nobody has bid'
  write('leader', sale ? `The lot is closed: ${sold}.` : highest ? `bid by ${who(highest.by)}` : lot ? 'no bid yet' : '')
  write('left', lot && !sale ? timeLeft(lot.endsAt - now) : '')

  const amount = byId('bid', HTMLFormElement).elements.namedItem('amount') as HTMLInputElement
  if (minimum !== undefined && amount.min !== String(minimum)) {
    // A higher wish that somebody is typing stays.
    if (!(Number(amount.value) >= minimum)) amount.value = String(minimum)
    amount.min = String(minimum)
  }
  for (const id of ['place', 'raise']) byId(id, HTMLButtonElement).disabled = minimum === undefined || !isOnline
  if (minimum === undefined) byId('raise', HTMLElement).hidden = true
  byId('close', HTMLButtonElement).disabled = minimum === undefined
  byId('open', HTMLButtonElement).disabled = minimum !== undefined
}

/** The newest first. */
export function drawBids(bids: readonly Bid[]): void {
  const newest = bids.slice(-shownMax).toReversed()
  byId('bids', HTMLElement).replaceChildren(...newest.map(drawBid))
}

function drawBid({ entry, by, amount, called }: Bid): HTMLElement {
  const hops = hopsOf(entry, called)
  const total = hops.reduce((sum, { ms }) => sum + ms, 0)
  const bar = element('div', 'bar')
  bar.setAttribute('aria-hidden', 'true')
  const words = element('p', 'hops')
  for (const { name, ms } of hops) {
    const kind = name.replaceAll(' ', '-')
    const part = element('span', kind)
    part.style.flexGrow = String(ms)
    bar.append(part)
    words.append(element('span', kind, `${name} ${whole(ms)}`), ' ')
  }
  words.append(hops.length > 0 ? `together ${whole(total)}` : 'from the history: nobody measured its way here')
  const item = element('li', '')
  item.append(
    element('strong', '', `${euros(amount)} ${by}`),
    ' ',
    element('small', '', new Date(entry.ts).toLocaleTimeString()),
    bar,
    words,
  )
  return item
}

function whole(ms: number): string {
  return `${Math.round(ms)} ms`
}

function timeLeft(leftMs: number): string {
  const seconds = Math.max(0, Math.round(leftMs / 1_000))
  return seconds >= 60 ? `${Math.ceil(seconds / 60)} min left` : `${seconds} s left`
}

/** What is there already is not written again: it would be read out again. */
export function write(id: string, text: string): void {
  const place = byId(id, HTMLElement)
  if (place.textContent !== text) place.textContent = text
}

export function byId<Type extends HTMLElement>(id: string, type: new () => Type): Type {
  const found = document.querySelector(`#${id}`)
  if (!(found instanceof type)) throw new Error(`the page has no #${id}`)
  return found
}

function element(tag: string, className: string, text = ''): HTMLElement {
  const made = document.createElement(tag)
  made.className = className
  made.textContent = text
  return made
}
