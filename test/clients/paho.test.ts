/** Eclipse paho-mqtt for Python, over TCP and WebSocket. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { testServer, type TestServer } from '../support/server.ts'
import { root } from '../support/source-files.ts'
import { need, skipLoudly } from '../support/skipping.ts'
import { endPrograms, Program } from './tools.ts'

const version = '2.1.0'
const venv = join(root, '.cache', `paho-mqtt-${version}`)
const python = join(venv, 'bin', 'python')
const scenario = new URL('python/scenario.py', import.meta.url).pathname

describe(`paho-mqtt ${version}`, function () {
  this.timeout(180_000)
  let server: TestServer

  before(async function () {
    need(this, 'python3', 'apt-get install python3 python3-venv')
    const problem = await installed()
    if (problem !== undefined) skipLoudly(this, `paho-mqtt cannot be installed: ${problem}`)
    server = await testServer()
  })
  afterEach(endPrograms)
  after(() => server?.stop())

  for (const [transport, door] of [
    ['tcp', 'mqtt'],
    ['websockets', 'http'],
  ] as const) {
    it(`[P-4.3, P-4.7, P-4.8, P-4.12, P-4.17, P-4.21, P-4.26, P-4.27, P-6.2] all it can, over ${transport}`, async () => {
      const args = [scenario, '127.0.0.1', String(server.ports[door]), transport, await server.token('alice')]
      const lines = await new Program(python, args).done(120_000)
      const topic = `users/alice/paho-${transport}`
      expect(JSON.parse(lines.at(-1) as string)).to.deep.equal({
        granted: ['Granted QoS 1', 'Unspecified error'],
        qos: [0, 1, 2].map((qos) => [`${topic}/qos/${qos}`, `at ${qos}`, Math.min(qos, 1), false]),
        retained: [[`${topic}/kept`, 'kept', 1, true]],
        will: [[`${topic}/will`, 'gone', 1, false]],
        present: true,
        missed: [...Array.from({ length: 200 }, (_, at) => `${at}`), 'last'],
        takeover: true,
        envelopes: ['at', 'kept'],
      })
    })
  }
})

/** Makes a virtual environment that stays; returns what was in the way. */
async function installed(): Promise<string | undefined> {
  const run = promisify(execFile)
  try {
    if (!existsSync(python)) await run('python3', ['-m', 'venv', venv])
    const wanted = await run(python, ['-c', 'import paho.mqtt; print(paho.mqtt.__version__)']).catch(() => ({ stdout: '' }))
    if (wanted.stdout.trim() !== version)
      await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', `paho-mqtt==${version}`])
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message.split('\n', 1).join() : String(error)
  }
}
