/** The board in a page: cards are retained messages, each edit names the version that it replaces. */
import { ClientError, connect, type Client, type Entry, type StateMap, type Stream } from 'tidemark/client'

interface Card {
  readonly title: string
  readonly column: string
}
interface Login {
  readonly token: string
  readonly url: string
  readonly board: string
  readonly level: string
}

const columns = ['todo', 'doing', 'done']
const login = byId('login', HTMLFormElement)
const withdraw = byId('withdraw', HTMLFormElement)
const notice = byId('notice', HTMLElement)

login.addEventListener('submit', (event) => {
  event.preventDefault()
  const name = field(login, 'name')
  sessionStorage.setItem('name', name)
  begin(name).catch(show)
})
const known = sessionStorage.getItem('name')
if (known) begin(known).catch(show)

async function begin(name: string): Promise<void> {
  login.hidden = true
  byId('board', HTMLElement).hidden = false
  // What the app knows of the user is remembered, so that the page works offline too.
  const session = await post<Login>('/login', { name }).catch(
    () => JSON.parse(localStorage.getItem(`login ${name}`) ?? 'null') as Login | null,
  )
  if (!session) throw new Error('The first time you have to be online.')
  localStorage.setItem(`login ${name}`, JSON.stringify({ ...session, token: '' }))
  withdraw.hidden = session.level !== 'own'

  const client = connect({ url: session.url, account: name, getToken: async () => (await post<Login>('/login', { name })).token })
  const board = client.stream(`spaces/${session.board}`)
  const cards = board.state('cards/')
  const draw = (): void => drawBoard(board, cards)
  cards.subscribe(draw)
  // Nobody's typing is overwritten: what came meanwhile is drawn afterwards.
  byId('columns', HTMLElement).addEventListener('focusout', ({ target }) => {
    if (target instanceof HTMLInputElement) setTimeout(draw, 0)
  })
  client.status.subscribe(({ connection, pending }) => {
    byId('status', HTMLElement).textContent = `${name}: ${connection}${pending > 0 ? `, ${pending} to be sent` : ''}`
  })
  client.outbox.onSettled((settled) => {
    if (settled.outcome === 'refused') tellRefusal(client, settled)
  })
  withdraw.addEventListener('submit', (event) => {
    event.preventDefault()
    removeMember(session.url, name, field(withdraw, 'member'), session.board).catch(show)
  })
  draw()
}

/** From the answer on nothing of the board reaches the member, and their publishes are refused [P-16.1]. */
async function removeMember(url: string, name: string, member: string, board: string): Promise<void> {
  const { token } = await post<Login>('/login', { name })
  await post('/withdraw', { name, member })
  const target = `${url}/v1/streams/spaces/${board}/members/${encodeURIComponent(member)}`
  const { ok, status } = await fetch(target, { method: 'DELETE', headers: { authorization: `Bearer ${token}` } })
  show(new Error(ok ? `${member} is no member any more.` : `That was refused (${status}).`))
}

function drawBoard(board: Stream, cards: StateMap): void {
  if (cards.error) {
    byId('columns', HTMLElement).replaceChildren()
    return show(cards.error)
  }
  if (document.activeElement instanceof HTMLInputElement && byId('columns', HTMLElement).contains(document.activeElement)) return
  const focused = document.activeElement?.id
  byId('columns', HTMLElement).replaceChildren(...columns.map((column) => drawColumn(column, board, cards)))
  // All is made anew: whoever uses the keyboard stays on their button, also where its card has moved, or beside it at the end of the way.
  const again = focused ? document.getElementById(focused) : null
  const place = again?.matches(':disabled') ? again.closest('section')?.querySelector<HTMLElement>(':scope > button') : again
  place?.focus({ preventScroll: true })
}

function drawColumn(column: string, board: Stream, cards: StateMap): HTMLElement {
  const own = cards.entries().filter(({ data }) => (data as Card).column === column)
  const add = element('button', { type: 'button', id: `add-${column}` }, 'Add a card')
  add.addEventListener('click', () => {
    void board.publish(`cards/${crypto.randomUUID()}`, { title: 'New card', column }, { retain: true, if: 'none' })
  })
  const section = element(
    'section',
    { 'aria-label': column },
    element('h2', {}, column),
    ...own.map((entry) => drawCard(entry, board)),
    add,
  )
  return section
}

function drawCard(entry: Entry, board: Stream): HTMLElement {
  const card = entry.data as Card
  const title = element('input', { 'aria-label': 'Title', value: card.title })
  const edit = (change: Partial<Card>): void => {
    // `if: entry` holds for an edit that has not been sent yet as well: offline edits chain.
    void board.publish(entry.topic, { ...card, ...change }, { retain: true, if: entry })
  }
  title.addEventListener('change', () => edit({ title: title.value }))
  const next = columns[columns.indexOf(card.column) + 1]
  const move = element('button', { type: 'button', id: `move-${entry.topic}`, disabled: next === undefined }, 'Move on')
  move.addEventListener('click', () => next && edit({ column: next }))
  return element('article', { 'data-pending': String(entry.pending) }, title, move)
}

/** A conflict shows what somebody else has made of the card; the own words are offered again. */
function tellRefusal(
  client: Client,
  { id, error, topic }: { readonly id: string; readonly error: ClientError; readonly topic: string },
): void {
  const theirs = error.details['current'] as Entry | null | undefined
  const what = theirs ? `“${(theirs.data as Card).title}”` : 'gone'
  notice.textContent = error.code === 'conflict' ? `Somebody was first: ${topic} is now ${what}.` : `Not saved: ${error.message}`
  notice.hidden = false
  void client.outbox.dismiss(id)
}

function show(what: unknown): void {
  const isOver = what instanceof ClientError && what.code === 'forbidden'
  notice.textContent = isOver ? 'You are no member of this board.' : what instanceof Error ? what.message : String(what)
  notice.hidden = false
}

async function post<Answer>(path: string, json: object): Promise<Answer> {
  const response = await fetch(path, { method: 'POST', body: JSON.stringify(json) })
  return (await response.json()) as Answer
}

function field(form: HTMLFormElement, name: string): string {
  const value = new FormData(form).get(name)
  return typeof value === 'string' ? value : ''
}

function byId<Type extends HTMLElement>(id: string, type: new () => Type): Type {
  const found = document.querySelector(`#${id}`)
  if (!(found instanceof type)) throw new Error(`the page has no #${id}`)
  return found
}

function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Readonly<Record<string, string | boolean>>,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) if (value !== false) made.setAttribute(key, String(value))
  made.append(...children)
  return made
}
