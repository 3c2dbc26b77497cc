/** An entry as one line: `POSITION TOPIC PAYLOAD`. */
import { rawMembers } from './raw-json.ts'

/** An envelope [P-3.3], as far as the commands look into it. */
export interface Envelope {
  readonly pos?: string
  readonly topic: string
  readonly deleted?: boolean
  readonly text?: string
  readonly base64?: string
}

/** The line of an envelope; `-` stands for the position of an ephemeral message. Neither payload nor topic can break or colour the line. */
export function entryLine(json: string): string {
  const envelope = JSON.parse(json) as Envelope
  return `${envelope.pos ?? '-'} ${safe(envelope.topic)} ${payloadText(envelope, json)}`
}

function payloadText({ deleted, text, base64 }: Envelope, json: string): string {
  if (deleted === true) return '(deleted)'
  if (text !== undefined) return safe(text)
  if (base64 !== undefined) return `base64:${base64}`
  const data = rawMembers(json).get('data') ?? ''
  // Between the values of a JSON text line breaks mean nothing, and within strings they are escaped.
  return data.replaceAll(/[\n\r\t]+/g, ' ')
}

function safe(text: string): string {
  return /[\p{Cc}\p{Zl}\p{Zp}]/u.test(text) ? JSON.stringify(text) : text
}
