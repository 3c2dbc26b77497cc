/** In front of a server, and in its name, but with a fault: MQTT packets and answers of HTTP are changed on their way. */
import { once } from 'node:events'
import { createServer as createHttp, request, type IncomingMessage, type Server as HttpServer, type ServerResponse } from 'node:http'
import { connect, createServer as createTcp, type AddressInfo, type Server, type Socket } from 'node:net'
import { generate, parser, type Packet } from 'mqtt-packet'

export interface Fault {
  /** What becomes of a packet to the client; default it passes. */
  readonly toClient?: (packet: Packet) => readonly Packet[]
  /** What the client is answered in place of the server, which then does not hear of the packet. */
  readonly instead?: (packet: Packet) => readonly Packet[] | undefined
  /** Keeps the connection to the client open when the server closes its own. */
  readonly holdsOpen?: boolean
  /** What becomes of an answer of HTTP; default it passes. */
  readonly answer?: (answer: HttpAnswer, asked: HttpAsked) => HttpAnswer
}

export interface HttpAsked {
  readonly method: string
  readonly url: string
}

export interface HttpAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface Crippled {
  readonly mqtt: string
  readonly http: string
  close(): void
}

export async function crippled(ports: { readonly mqtt: number; readonly http: number }, fault: Fault): Promise<Crippled> {
  const sockets = new Set<Socket>()
  const tcp = createTcp({ allowHalfOpen: true }, (client) => passMqtt(client, ports.mqtt, fault, sockets))
  const http = createHttp((asked, response) => passHttp(asked, response, ports.http, fault))
  const [mqttPort, httpPort] = [await listen(tcp), await listen(http)]
  return {
    mqtt: `mqtt://127.0.0.1:${mqttPort}`,
    http: `http://127.0.0.1:${httpPort}`,
    close() {
      for (const socket of sockets) socket.destroy()
      tcp.close()
      http.close()
      http.closeAllConnections()
    },
  }
}

function passMqtt(client: Socket, port: number, fault: Fault, sockets: Set<Socket>): void {
  const server = connect({ port, host: '127.0.0.1', noDelay: true })
  const pass = (from: Socket, to: Socket, change: ((packet: Packet) => readonly Packet[]) | undefined): void => {
    // What is not changed passes byte by byte: some of it is no packet on purpose.
    if (!change) return void from.on('data', (chunk: Buffer) => void (to.writable && to.write(chunk)))
    const packets = parser({ protocolVersion: 4 })
    packets.on('packet', (packet) => {
      for (const changed of change(packet)) if (to.writable) to.write(generate(changed))
    })
    packets.on('error', () => to.destroy())
    from.on('data', (chunk: Buffer) => packets.parse(chunk))
  }
  const { instead } = fault
  const fromClient = (packet: Packet): readonly Packet[] => {
    const own = instead?.(packet)
    for (const told of own ?? []) client.write(generate(told))
    return own ? [] : [packet]
  }
  pass(client, server, instead ? fromClient : undefined)
  pass(server, client, fault.toClient)
  for (const socket of [client, server]) {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  }
  client.on('close', () => server.destroy())
  server.on('close', () => {
    if (fault.holdsOpen !== true) client.destroy()
  })
}

function passHttp(asked: IncomingMessage, response: ServerResponse, port: number, fault: Fault): void {
  // What comes compressed could not be changed.
  const {
    method = 'GET',
    url = '/',
    headers: { 'accept-encoding': _encodings, ...headers },
  } = asked
  const onward = request({ host: '127.0.0.1', port, method, path: url, headers, agent: false }, (answer) => {
    const isStream = /event-stream/.test(answer.headers['content-type'] ?? '')
    const told = Object.fromEntries(Object.entries(answer.headers).map(([name, value]) => [name, String(value)]))
    const change = (body: string): HttpAnswer =>
      (fault.answer ?? ((same) => same))({ status: answer.statusCode ?? 0, headers: told, body }, { method, url })
    answer.setEncoding('utf8')
    if (isStream) {
      response.writeHead(answer.statusCode ?? 0, told).flushHeaders()
      answer.on('data', (text: string) => void response.write(change(text).body))
      answer.on('end', () => void response.end())
      return
    }
    let body = ''
    answer.on('data', (text: string) => (body += text))
    answer.on('end', () => {
      const { status, headers: changed, body: text } = change(body)
      const { 'content-length': _length, 'transfer-encoding': _encoding, ...kept } = changed
      response.writeHead(status, kept).end(text)
    })
  })
  onward.on('error', () => void response.destroy())
  response.on('close', () => void onward.destroy())
  asked.pipe(onward)
}

async function listen(server: Server | HttpServer): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}
