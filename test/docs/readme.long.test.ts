/** The README's commands work as they stand. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect } from 'chai'
import { childServer, cleanEnvironment, type ChildServer } from '../support/server.ts'
import { need } from '../support/skipping.ts'
import { read, root } from '../support/source-files.ts'
import { tempFolder } from '../support/temp.ts'
import { within } from '../support/waiting.ts'

const defaultPorts = [1883, 8080] as const

interface Block {
  readonly line: number
  readonly text: string
  /** Why it is not run. */
  readonly noTest: string | undefined
}

describe('README.md', function () {
  this.timeout(240_000)
  const blocks = shellBlocks(read('README.md'))
  let server: ChildServer | undefined

  after(() => server?.kill())

  it('has commands to run, and a reason for each that is not', () => {
    for (const { line, noTest } of blocks) {
      if (noTest !== undefined) console.log(`      not run, line ${line}: ${noTest}`)
      if (noTest !== undefined) expect(noTest, `line ${line}`).to.match(/\w+ \w+/)
    }
    expect(blocks.filter(({ noTest }) => noTest === undefined)).to.have.length.at.least(2)
    const others = [...read('README.md').matchAll(/^```(?!sh\b)(\S+)/gm)].map(([, language]) => language)
    expect(others.filter((language) => ['bash', 'shell', 'console', 'zsh'].includes(language as string)), 'commands that no test would see').to.deep.equal([])
  })

  it('runs them in order, and shows what they promise', async function () {
    need(this, 'mosquitto_sub', 'apt-get install mosquitto-clients')
    need(this, 'curl', 'apt-get install curl')
    for (const port of defaultPorts) await mustBeFree(port)
    const [mqttPort, httpPort] = defaultPorts
    server = await childServer({ settings: { mqttPort, httpPort } })
    const folder = await tempFolder()
    const { status, output } = await runInBash(scriptOf(blocks), server.folder, folder)
    expect(status, output).to.equal(0)

    const heard = await subscriptions(folder)
    expect(heard.length, 'subscriptions in the background').to.be.at.least(2)
    const [phone, sync] = heard as [string, string]
    expect(phone, 'the phone').to.match(/^users\/alice\/notes\/1 hello$/m)
    expect(sync, 'the envelopes').to.match(/^sync@earliest\/users\/alice\/notes\/1 \{.*"text":"hello".*\}$/m)
    expect(output, 'the history by HTTP').to.match(/"entries":\[\{.*"topic":"users\/alice\/notes\/1".*"text":"hello"/)
    expect(output.match(/"title":"Ship it"/g) ?? [], 'the card in state and history').to.have.length.at.least(2)
  })
})

function shellBlocks(text: string): Block[] {
  const found = text.matchAll(/^```sh(?: no-test: (.*))?\n([\s\S]*?)^```$/gm)
  return [...found].map((match) => ({ line: text.slice(0, match.index).split('\n').length, text: match[2] as string, noTest: match[1] }))
}

/** One process for all of them. Whoever subscribes in the background is waited for, as a reader would. */
function scriptOf(blocks: readonly Block[]): string {
  const lines = blocks.filter(({ noTest }) => noTest === undefined).flatMap(({ text }) => text.split('\n'))
  return ['set -e', waiting, ...lines.map((line) => (/ &\s*$/.test(line) ? `${line}\nsubscribed $!` : line)), 'heard hello'].join('\n')
}

/** What stands here waits for files that the stand-in of mosquitto_sub writes. */
const waiting = `
until_found() { for _ in $(seq 150); do grep -qs "$1" "$2" && return; sleep 0.1; done; echo "waited in vain for $1 in $2" >&2; return 1; }
subscribed() { until_found Subscribed "$HEARD/$1"; }
heard() { for file in "$HEARD"/*; do until_found "$1" "$file"; done; }
`

async function runInBash(script: string, data: string, folder: string): Promise<{ status: number | null; output: string }> {
  const tools = join(folder, 'tools')
  const heard = join(folder, 'heard')
  await mkdir(tools)
  await mkdir(heard)
  const real = spawnSync('which', ['mosquitto_sub'], { encoding: 'utf8' }).stdout.trim()
  // It says when it has subscribed, and writes where the test can read.
  await writeFile(join(tools, 'mosquitto_sub'), `#!/bin/sh\nexec stdbuf -oL ${real} -d "$@" > "$HEARD/$$" 2>&1\n`)
  await chmod(join(tools, 'mosquitto_sub'), 0o755)
  const env = { ...cleanEnvironment(), PATH: `${tools}:${process.env['PATH']}`, HEARD: heard, TIDEMARK_DATA: data }
  const bash = spawn('bash', ['-c', script], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  let output = ''
  for (const stream of [bash.stdout, bash.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  try {
    const [status] = (await within(once(bash, 'exit'), `the README's commands; so far: ${output}`, 180_000)) as [number | null]
    return { status, output }
  } finally {
    // The subscriptions in the background belong to its group.
    try {
      process.kill(-(bash.pid as number), 'SIGKILL')
    } catch {
      // Nothing of it is left.
    }
  }
}

/** What each subscription has written, in the order of their beginning. */
async function subscriptions(folder: string): Promise<string[]> {
  const heard = join(folder, 'heard')
  const names = (await readdir(heard)).sort((one, another) => Number(one) - Number(another))
  return await Promise.all(names.map((name) => readFile(join(heard, name), 'utf8')))
}

async function mustBeFree(port: number): Promise<void> {
  const probe = createServer()
  const taken = new Promise<void>((_resolve, reject) =>
    probe.once('error', () => reject(new Error(`port ${port} is taken on this machine, and the README's commands use it: stop what listens there`))),
  )
  await Promise.race([taken, once(probe.listen({ port, host: '127.0.0.1' }), 'listening')])
  probe.close()
  await once(probe, 'close')
}
