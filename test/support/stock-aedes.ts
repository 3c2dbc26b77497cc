/** aedes as it comes, on a free port: what this broker is compared with. */
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { Aedes } from 'aedes'

export interface StockAedes {
  readonly aedes: Aedes
  readonly port: number
  /** Open connections, as the server sees them. */
  readonly sockets: ReadonlySet<Socket>
  /** Cuts all connections. */
  readonly close: () => Promise<void>
}

export async function openStockAedes(options: ConstructorParameters<typeof Aedes>[0] = {}): Promise<StockAedes> {
  const aedes = await Aedes.createBroker(options)
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    aedes.handle(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await new Promise<void>((resolve) => aedes.close(resolve))
  }
  return { aedes, port: (server.address() as AddressInfo).port, sockets, close }
}
