/** Where the loads run: a fresh process of Node, or a fresh page of Chromium. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { chromium, type Browser } from 'playwright-core'
import { servedPage } from '../../test/support/served-page.ts'
import { findProgram } from '../brokers/programs.ts'
import { childArguments, childModule } from '../load/child-modules.ts'
import type { FromChild } from './child.ts'
import type { Answers, Command, Perform } from './perform.ts'

export interface Runner {
  run<Do extends Command['do']>(command: Extract<Command, { do: Do }>): Promise<Answers[Do]>
  close(): Promise<void>
}

/** `natsFolder`: where the clients of NATS are installed. */
export function nodeRunner(natsFolder: string | undefined): Runner {
  const child = fork(childModule(new URL('./child', import.meta.url)), natsFolder === undefined ? [] : [natsFolder], {
    execArgv: childArguments(),
  })
  const gone = once(child, 'exit').then(([code]): never => {
    throw new Error(`the process of the load ended with ${String(code)}`)
  })
  gone.catch(() => {}) // Whoever waits for an answer hears of it.
  return {
    async run(command) {
      child.send(command)
      const [message] = (await Promise.race([once(child, 'message'), gone])) as [FromChild]
      if ('failure' in message) throw new Error(message.failure)
      return message.answer as never
    },
    async close() {
      child.disconnect()
      await once(child, 'exit')
    },
  }
}

export interface Chromium {
  readonly version: string
  /** Of its pages. */
  readonly origin: string
  /** A page in a profile of its own. */
  page(): Promise<Runner>
  close(): Promise<void>
}

/** Undefined where there is no Chromium; `CHROMIUM` names one. */
export async function startChromium(natsFolder: string | undefined): Promise<Chromium | undefined> {
  const executablePath = process.env['CHROMIUM'] ?? findProgram('chromium') ?? findProgram('chromium-browser')
  if (executablePath === undefined) return undefined
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] })
  const served = await servedPage({ script: { code: pageCode(natsFolder !== undefined) }, ...(natsFolder && { packagesIn: natsFolder }) })
  return {
    version: browser.version(),
    origin: served.origin,
    page: () => pageRunner(browser, served.origin),
    async close() {
      await browser.close()
      await served.close()
    },
  }
}

function pageCode(withNats: boolean): string {
  const imports = withNats ? `import * as core from '@nats-io/nats-core'\nimport * as jetstream from '@nats-io/jetstream'` : ''
  return `import { performer } from './bench/sdk/perform.ts'\n${imports}
    globalThis.perform = performer({ ${withNats ? 'nats: { ...core, ...jetstream }' : ''} })`
}

async function pageRunner(browser: Browser, origin: string): Promise<Runner> {
  const context = await browser.newContext()
  const page = await context.newPage()
  page.on('console', (message) => console.error(`  page: ${message.text()}`))
  await page.goto(origin)
  await page.waitForFunction('globalThis.perform')
  return {
    async run(command) {
      const perform = (given: Command): ReturnType<Perform> => (globalThis as unknown as { perform: Perform }).perform(given)
      return (await page.evaluate(perform, command)) as never
    },
    close: () => context.close(),
  }
}
