/** The auction in a page: it reads the log, draws what the rules make of it, and bids on the condition that nobody was faster. */
import { ClientError, connect, type Client, type Entry } from 'tidemark/client'
import { Auction, euros, saidIn, streamName, topic, watchingTopic, type Said } from './rules.ts'
import { ServerClock } from './trace.ts'
import { byId, drawAuction, drawBids, drawStanding, write } from './view.ts'
import { sayEveryMs } from './watchers.ts'

interface Login {
  readonly token: string
  readonly url: string
  readonly mayClose: boolean
}

const login = byId('login', HTMLFormElement)
const notice = byId('notice', HTMLElement)
const raise = byId('raise', HTMLButtonElement)

login.addEventListener('submit', (event) => {
  event.preventDefault()
  const name = new FormData(login).get('name')
  if (typeof name !== 'string') return
  sessionStorage.setItem('name', name)
  begin(name).catch(show)
})
const known = sessionStorage.getItem('name')
if (known) begin(known).catch(show)

async function begin(name: string): Promise<void> {
  const session = await post<Login>('/login', { name })
  login.hidden = true
  byId('auction', HTMLElement).hidden = false
  byId('desk', HTMLElement).hidden = !session.mayClose
  for (const what of ['close', 'open']) {
    byId(what, HTMLButtonElement).addEventListener('click', () => void post(`/${what}`, { name }).catch(show))
  }

  const client = connect({ url: session.url, account: name, getToken: async () => (await post<Login>('/login', { name })).token })
  const auction = new Auction()
  const clock = new ServerClock()
  const draw = (): void => drawAuction(auction, name, isOnline(client), clock.now() ?? Date.now())
  const bid = (amount: number): void => {
    notice.hidden = raise.hidden = true
    const said: Said = { amount, called: clock.now() }
    // Refusals are told by the outbox, also those of a bid that was made before the page was loaded again.
    client
      .stream(streamName)
      .publish(topic, said, { retain: true, if: auction.latest ?? 'none' })
      .catch((error: unknown) => error instanceof ClientError || show(error))
  }
  byId('bid', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault()
    bid(Number(new FormData(event.target as HTMLFormElement).get('amount')))
  })
  raise.addEventListener('click', () => auction.minimum !== undefined && bid(auction.minimum))
  client.outbox.onSettled((settled) => {
    if (settled.outcome === 'refused') tellRefusal(client, auction, settled)
  })

  const showStanding = (): void => {
    const { connection, pending } = client.status.get()
    drawStanding({ name, connection, pending, isOnline: isOnline(client) })
    draw()
  }
  client.status.subscribe(showStanding)
  for (const change of ['online', 'offline']) addEventListener(change, showStanding)
  setInterval(draw, 1_000)
  watch(name)

  for await (const entry of client.stream(streamName).entries({ from: 'earliest' })) {
    clock.heard(entry.receipt)
    if (entry.topic === watchingTopic) {
      showWatching((entry.data as { count: number }).count)
      continue
    }
    auction.take(entry)
    drawSoon(() => {
      draw()
      drawBids(auction.bids)
      write('raise', raiseText(auction))
    })
  }
}

/** While it is shown the page says that it watches; the house tells all how many do. */
function watch(name: string): void {
  const page = crypto.randomUUID()
  const say = (): void => {
    if (document.visibilityState !== 'visible') return
    // Who cannot be reached now is counted again at the next time.
    post<{ count: number }>('/watching', { name, page }).then(
      ({ count }) => showWatching(count),
      () => undefined,
    )
  }
  const leave = (): void => void navigator.sendBeacon('/left', JSON.stringify({ page }))
  say()
  setInterval(say, sayEveryMs)
  addEventListener('pagehide', leave)
  document.addEventListener('visibilitychange', () => (document.visibilityState === 'visible' ? say() : leave()))
}

function showWatching(count: number): void {
  write('watching', `${count.toLocaleString('en')} watching`)
}

/** The device knows at once when its network is gone, the client when the server does not answer. */
function isOnline(client: Client): boolean {
  return navigator.onLine && client.status.get().connection === 'online'
}

/** A conflict brings what stands there now: a higher bid, which may be raised at once, or the end of the auction. */
function tellRefusal(client: Client, auction: Auction, { id, error }: { readonly id: string; readonly error: ClientError }): void {
  void client.outbox.dismiss(id)
  const current = error.details['current'] as Entry | null | undefined
  if (error.code !== 'conflict' || !current) return show(error.code === 'forbidden' ? 'You may not bid here.' : error)
  const { closed, amount } = saidIn(current)
  if (closed)
    return show(
      closed.winner ? `Too late: the lot was sold to ${closed.winner} for ${euros(closed.amount ?? 0)}.` : 'Too late: the lot is closed.',
    )
  show(amount === undefined ? 'A new lot has been opened.' : `Somebody was first: ${current.from} bids ${euros(amount)}.`)
  write('raise', raiseText(auction))
  raise.hidden = false
}

function raiseText({ minimum }: Auction): string {
  return minimum === undefined ? '' : `Bid ${euros(minimum)} now`
}

let isDrawing = false
/** Many bids may come between two pictures. */
function drawSoon(draw: () => void): void {
  if (isDrawing) return
  isDrawing = true
  requestAnimationFrame(() => {
    isDrawing = false
    draw()
  })
}

function show(what: unknown): void {
  write('notice', what instanceof Error ? what.message : String(what))
  notice.hidden = false
}

async function post<Answer>(path: string, json: object): Promise<Answer> {
  const response = await fetch(path, { method: 'POST', body: JSON.stringify(json) })
  const answer = (await response.json()) as Answer & { readonly error?: string }
  if (!response.ok) throw new Error(answer.error ?? `${path} was refused (${response.status})`)
  return answer
}
