/** Ports: free ones held until they are used, and what to say about one that cannot be used. */
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { SyncError } from '../protocol/errors.ts'

export interface ReservedPort {
  readonly port: number
  /** Lets go of it, for the listener that is to take it in the same moment. May be called twice. */
  release(): Promise<void>
}

/** A free port that nobody else gets until it is released. */
export async function reservePort(host: string): Promise<ReservedPort> {
  const server = createServer((socket) => socket.destroy())
  try {
    server.listen({ host, port: 0 })
    await once(server, 'listening')
  } catch (error) {
    throw cannotListen('host', host, 0, error)
  }
  const { port } = server.address() as AddressInfo
  const release = async (): Promise<void> => {
    if (!server.listening) return
    server.close()
    await once(server, 'close')
  }
  return { port, release }
}

/** Calls `listen`; where the port cannot be had, throws a sentence with the port and the setting. */
export async function listening(
  setting: 'mqttPort' | 'mqttsPort' | 'httpPort',
  host: string,
  port: number,
  listen: (at: { host: string; port: number }) => Promise<number>,
): Promise<void> {
  try {
    await listen({ host, port })
  } catch (error) {
    throw cannotListen(setting, host, port, error)
  }
}

function cannotListen(setting: string, host: string, port: number, error: unknown): SyncError {
  const flag = `--${setting.replace('Port', '-port')}`
  const { code, message } = error as NodeJS.ErrnoException
  const sentence: Record<string, string> = {
    EADDRINUSE: `port ${port} on ${host} is in use; stop what listens there, or choose another with ${flag} (0 takes a free one)`,
    EACCES: `port ${port} on ${host} may not be used by this user; choose one above 1023 with ${flag}`,
    EADDRNOTAVAIL: `${host} is no address of this machine; choose another with --host`,
    ENOTFOUND: `${host} is no host that can be found; choose another with --host`,
  }
  return new SyncError('bad-request', sentence[code ?? ''] ?? `${setting}: listening on ${host}:${port} failed: ${message}`, {}, error)
}
