/** What one filter of an event stream sends, as events (the format of server-sent events, WHATWG HTML 9.2) [P-18.6 – P-18.10]. */
import type { SyncMessage, SyncSink } from '../delivery/sync-cursor.ts'
import { formatPosition } from '../protocol/positions.ts'

/** What the filters of an event stream share. */
export interface EventOutlet {
  readonly log: { readonly epoch: string }
  /** The id of an event that is sent now: the places of all filters. */
  readonly eventId: string
  write(event: Buffer): void
}

export class FilterEvents implements SyncSink {
  /** Nothing is acknowledged here. */
  readonly room = Infinity
  /** Where the client goes on after what it has got. */
  place: string
  readonly #outlet: EventOutlet
  readonly #member: string

  constructor(filter: string, place: string, outlet: EventOutlet) {
    this.place = place
    this.#outlet = outlet
    this.#member = `"filter":${JSON.stringify(filter)},`
  }

  fits(): boolean {
    return true
  }

  entry(_topic: string, envelope: Buffer, seq: number, mark: string): number {
    this.place = formatPosition(this.#outlet.log.epoch, seq, mark)
    return this.#send('entry', envelope, this.#outlet.eventId)
  }

  flush(): void {
    // It leaves with everything else of this turn.
  }

  ephemeral(_topic: string, envelope: Buffer): void {
    this.#send('ephemeral', envelope)
  }

  control(message: SyncMessage): void {
    const { ctl, pos } = message
    // A snapshot is resumed from within, but not before its first entry; a position that was refused stays refused.
    if (pos !== undefined && ctl !== 'snapshot-start') this.place = pos
    this.#send(ctl, Buffer.from(JSON.stringify(message)), this.#outlet.eventId)
  }

  #send(name: string, json: Buffer, id?: string): number {
    const event = encodeEvent(name, json, id, this.#member)
    this.#outlet.write(event)
    return event.length
  }
}

/** What an open stream with nothing to say says. */
export const emptyComment = Buffer.from(':\n\n')

/** An event whose data are a JSON object, with further members in front. Without an id the one before stays. */
export function encodeEvent(name: string, json: Buffer, id?: string, members = ''): Buffer {
  const head = `event: ${name}\n${id === undefined ? '' : `id: ${id}\n`}data: {${members}`
  const rest = json.includes(lineFeed) || json.includes(carriageReturn) ? dataLines(json) : json
  const headBytes = Buffer.byteLength(head)
  const event = Buffer.allocUnsafe(headBytes + rest.length - 1 + 2)
  event.write(head)
  rest.copy(event, headBytes, 1)
  event.write('\n\n', event.length - 2, 'latin1')
  return event
}

const lineFeed = 0x0a
const carriageReturn = 0x0d

/** Line breaks stand between the tokens of JSON only; each begins another line of data. */
function dataLines(json: Buffer): Buffer {
  return Buffer.from(json.toString().replaceAll(/\r\n|\r|\n/g, '\ndata: '))
}
