/** A server whose store goes away while it begins. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { MongoStub } from '../support/mongo/stub.ts'
import { removeFolder, tempFolder } from '../support/temp.ts'
import { within } from '../support/waiting.ts'

const program = fileURLToPath(new URL('../../bin/tidemark.js', import.meta.url))

describe('a server that cannot begin', function () {
  this.timeout(120_000)

  it('[P-14.8] ends, where it cannot join the others: it does not stay without serving anybody', async () => {
    const [stub, folder] = [await MongoStub.start(), await tempFolder()]
    stub.answer = ({ collection }) => (collection === 'documents.nodes' ? 'cut' : undefined)
    const words = [program, 'serve', '--store', `${stub.url}&directConnection=true`, '--data', join(folder, 'data')]
    const child = spawn(process.execPath, [...words, '--mqtt-port', '0', '--http-port', '0'], { stdio: ['ignore', 'ignore', 'pipe'] })
    try {
      let told = ''
      child.stderr.setEncoding('utf8').on('data', (text: string) => (told += text))
      const [code] = (await within(once(child, 'exit'), 'the end of the server', 60_000)) as [number | null]
      expect(code, told).to.equal(1)
      expect(told).to.match(/^tidemark: /m)
    } finally {
      child.kill('SIGKILL')
      await stub.stop()
      await removeFolder(folder)
    }
  })
})
