/** Reads server-sent events (WHATWG HTML) from an answer of `fetch`, which unlike `EventSource` can show a token. */

export interface ServerEvent {
  readonly name: string
  readonly id: string
  readonly data: string
}

/** Calls `event` for each one, `sound` for every piece that comes; resolves at the end. */
export async function readEvents(body: ReadableStream<Uint8Array>, event: (event: ServerEvent) => void, sound: () => void): Promise<void> {
  const reader = body.getReader()
  const text = new TextDecoder()
  let rest = ''
  let [name, id, data] = ['', '', [] as string[]]
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    sound()
    const lines = (rest + text.decode(value, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const [, field, content = ''] = /^([^:]*)(?:: ?(.*?))?\r?$/s.exec(line) ?? []
      if (field === 'event') name = content
      else if (field === 'id') id = content
      else if (field === 'data') data.push(content)
      else if (line === '' || line === '\r') {
        if (data.length > 0) event({ name, id, data: data.join('\n') })
        ;[name, id, data] = ['', '', []]
      }
    }
  }
}
