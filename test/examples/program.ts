/** An example, started as its README says. */
import { spawn, type ChildProcess } from 'node:child_process'
import { cleanEnvironment } from '../support/server.ts'
import { root } from '../support/source-files.ts'
import { tempFolder } from '../support/temp.ts'
import { Inbox } from '../support/waiting.ts'

/**
 * To be called within a suite: `npm run example:NAME` before each test, on a free port and an empty folder. `more` is what the
 * environment holds besides, asked before each start.
 */
export function exampleProgram(
  name: string,
  more: () => Promise<Readonly<Record<string, string>>> = async () => ({}),
): { readonly origin: string } {
  let program: ChildProcess | undefined
  let origin = ''
  beforeEach(async () => {
    const env = { ...cleanEnvironment(), PORT: '0', DATA: await tempFolder(), ...(await more()) }
    // A group of its own: npm starts what it runs as a child.
    program = spawn('npm', ['run', '--silent', `example:${name}`], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    const ready = new Inbox<string>()
    let printed = ''
    for (const stream of [program.stdout, program.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        printed += text
        const found = /ready (http:\S+)/.exec(printed)?.[1]
        if (found) ready.add(found)
      })
    }
    program.once('exit', () => ready.end(`the example ended: ${printed}`))
    origin = await ready.take(() => true, `${name} to be ready`, 60_000)
  })
  const stop = (): void => {
    if (program?.pid !== undefined) process.kill(-program.pid, 'SIGTERM')
    program = undefined
  }
  afterEach(stop)
  // A hook that failed before it has kept that one from running.
  after(stop)
  return {
    get origin() {
      return origin
    },
  }
}
