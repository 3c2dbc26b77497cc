/** The breaker's proxy: what looks like a fault of the server must not be one of its own. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { expect } from 'chai'
import { FaultProxy } from '../../chaos/faults/proxy.ts'

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

async function throughProxy(work: (proxy: FaultProxy, near: Socket, far: Socket) => Promise<void>): Promise<void> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy = await FaultProxy.open('to the server', (server.address() as AddressInfo).port)
  const near = connect({ port: proxy.port, host: '127.0.0.1', noDelay: true })
  const [far] = (await once(server, 'connection')) as [Socket]
  try {
    await work(proxy, near, far)
  } finally {
    for (const socket of [near, far]) socket.destroy()
    proxy.close()
    server.close()
  }
}

describe('the proxy of the breaker', () => {
  it('[P-6.8] keeps the order of what passes, however long it delays each chunk', () =>
    throughProxy(async (proxy, near, far) => {
      let came = ''
      let sent = ''
      far.setEncoding('utf8').on('data', (text: string) => (came += text))
      for (let number = 0; number < 400; number++) {
        if (number % 20 === 0) proxy.delay(25)
        else if (number % 20 === 10) proxy.mend()
        near.write(`${number} `)
        sent += `${number} `
        await turn()
        await turn()
      }
      while (came.length < sent.length) await once(far, 'data')
      expect(came).to.equal(sent)
    }))

  it('[P-8.8] loses the answers to what was asked, ends those connections, and lets new ones pass', () =>
    throughProxy(async (proxy, near, far) => {
      for (let number = 0; number < 7; number++) {
        far.write('.')
        await once(near, 'data')
      }
      const end = proxy.loseInUse()
      near.write('asked')
      const [asked] = (await once(far, 'data')) as [Buffer]
      expect(asked.toString()).to.equal('asked')
      let answered = ''
      near.on('data', (bytes: Buffer) => (answered += bytes.toString()))
      far.write('answer')
      const other = connect({ port: proxy.port, host: '127.0.0.1' })
      await once(other, 'connect')
      end()
      await once(near, 'close')
      expect(answered).to.equal('')
      expect(other.destroyed).to.equal(false)
      other.destroy()
    }))
})
