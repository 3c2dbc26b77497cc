/** TLS before the stand-in of AWS IoT Core, with a certificate of the test's own: what AWS's own clients insist on. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { createServer, type Server } from 'node:tls'
import { promisify } from 'node:util'
import { tempFolder } from '../temp.ts'

export class TlsFront {
  /** PEM of whom to trust. */
  readonly certificate: string
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  /** Hands everything on to this port; needs openssl. */
  static async start(targetPort: number): Promise<TlsFront> {
    const folder = await tempFolder()
    const [certificate, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
    const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key]
    await promisify(execFile)('openssl', ['req', '-x509', '-days', '2', ...newKey, '-out', certificate, ...subject])
    const front = new TlsFront(certificate, key, targetPort)
    front.#server.listen(0, '127.0.0.1')
    await once(front.#server, 'listening')
    return front
  }

  private constructor(certificate: string, key: string, targetPort: number) {
    this.certificate = certificate
    this.#server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (near) => {
      const far = connect(targetPort, '127.0.0.1')
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(one)
        one.pipe(other)
        one.on('error', () => other.destroy())
        one.once('close', () => {
          this.#sockets.delete(one)
          other.destroy()
        })
      }
    })
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
