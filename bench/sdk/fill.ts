/** Entries to be read later, put there as cheaply as each server lets us: this is not what is measured. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { publishCounted } from '../load/catch-up.ts'
import { countedPayload, writeNumber } from '../load/counted.ts'
import { payloadBytes } from './subject.ts'

/** Numbered from 1, as JSON of 300 bytes. */
export async function fillTidemark(mqttUrl: string, stream: string, token: string, messages: number): Promise<void> {
  const [, user = ''] = stream.split('/')
  const target = { url: mqttUrl, credentials: { user, password: token }, topic: `${stream}/load`, messages, sizeBytes: payloadBytes }
  await publishCounted(target, 'fill', 512)
}

/** JetStream drops what comes faster than it stores, so the last one of each chunk asks for an acknowledgement. */
const chunk = 1_000

/** The same bytes over NATS' own protocol. The stream must be there. */
export async function fillNats(port: number, stream: string, messages: number): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1' })
  const { payload, numberOffset } = countedPayload(payloadBytes)
  let heard = ''
  socket.on('data', (bytes) => (heard += bytes.toString('latin1')))
  socket.write('CONNECT {"verbose":false}\r\nSUB acknowledged 1\r\n')
  for (let from = 1; from <= messages; from += chunk) {
    const parts: Buffer[] = []
    const to = Math.min(messages, from + chunk - 1)
    for (let number = from; number <= to; number++) {
      const body = Buffer.from(payload)
      writeNumber(body, numberOffset, number)
      parts.push(Buffer.from(`PUB ${stream}.load ${number === to ? 'acknowledged ' : ''}${body.length}\r\n`), body, Buffer.from('\r\n'))
    }
    socket.write(Buffer.concat(parts))
    while (!heard.includes(`"seq":${to}`)) {
      if (heard.includes('-ERR')) throw new Error(`NATS: ${heard.slice(-200)}`)
      await once(socket, 'data')
    }
  }
  socket.destroy()
}
