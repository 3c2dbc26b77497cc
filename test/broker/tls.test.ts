/** MQTT over TLS. */
import { expect } from 'chai'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect as connectTcp } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { promisify } from 'node:util'
import { connectAsync } from 'mqtt'
import { closeAll, testBroker } from '../support/broker.ts'
import { tempFolder } from '../support/temp.ts'
import { RawClient } from '../support/raw-mqtt.ts'
import { within } from '../support/waiting.ts'

describe('The TLS listener', () => {
  const files = { certFile: '', keyFile: '' }

  before(async () => {
    const folder = await tempFolder()
    files.certFile = join(folder, 'cert.pem')
    files.keyFile = join(folder, 'key.pem')
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', files.keyFile]
    await promisify(execFile)('openssl', ['req', '-x509', '-days', '2', ...key, '-out', files.certFile, ...subject])
  })
  afterEach(closeAll)

  it('serves mqtt.js with a certificate that it checks', async () => {
    const it = await testBroker()
    const port = await it.broker.listenTls({ host: '127.0.0.1', port: 0, ...files })
    const ca = await readFile(files.certFile)
    const client = await connectAsync(`mqtts://localhost:${port}`, {
      ca,
      username: 'alice',
      password: await it.token('alice'),
      clientId: 'js',
      reconnectPeriod: 0,
    })
    const [granted] = await client.subscribeAsync('users/alice/#', { qos: 1 })
    expect(granted?.qos).to.equal(1)
    await client.publishAsync('users/alice/a', 'x'.repeat(50_000), { qos: 1 })
    await client.endAsync()
    expect((await it.log.stream('users/alice')).headSeq).to.equal(1)
  })

  it('[P-12.27] is not troubled by peers that speak no TLS or leave in the middle', async () => {
    const it = await testBroker()
    const port = await it.broker.listenTls({ host: '127.0.0.1', port: 0, ...files })
    for (let at = 0; at < 5; at++) {
      const socket = connectTcp(port, '127.0.0.1')
      socket.on('error', () => {})
      await within(once(socket, 'connect'), 'a connection')
      if (at % 2 === 0) {
        socket.write('GET / HTTP/1.1\r\n\r\n')
        socket.resume()
        await within(once(socket, 'close'), 'the end of a connection without TLS')
      } else socket.resetAndDestroy()
    }
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
    await within(once(socket, 'secureConnect'), 'a TLS connection')
    const client = new RawClient(socket)
    expect(await client.connect({ clientId: 'a', password: await it.token('alice') })).to.include({ returnCode: 0 })
    await client.disconnect()
  })

  it('says what is wrong with its files', async () => {
    const it = await testBroker()
    const error = await it.broker
      .listenTls({ host: '127.0.0.1', port: 0, certFile: '/nowhere', keyFile: files.keyFile })
      .catch((reason: unknown) => reason)
    expect(String(error)).to.contain('/nowhere')
  })
})
