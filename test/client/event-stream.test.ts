import { expect } from 'chai'
import { readEvents, type ServerEvent } from '../../client/transport/event-stream.ts'

describe('server-sent events', () => {
  it('[P-18.1] come whole, whatever the data holds and wherever the network cuts', async () => {
    // JSON may hold the separators of lines and paragraphs as they are.
    const data = JSON.stringify({ text: 'one\u2028two\u2029three: four ä' })
    const bytes = new TextEncoder().encode(`:\r\n\r\nevent: entry\r\nid: 1.2\r\ndata: ${data}\r\n\r\n`)
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const byte of bytes) controller.enqueue(Uint8Array.of(byte))
        controller.close()
      },
    })
    const events: ServerEvent[] = []
    await readEvents(
      body,
      (event) => events.push(event),
      () => {},
    )
    expect(events).to.deep.equal([{ name: 'entry', id: '1.2', data }])
  })
})
