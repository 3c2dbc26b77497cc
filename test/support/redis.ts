/** A real Redis for tests: one of the user's (`REDIS_URL`), or a process of our own that can be killed, paused and started again. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { RedisHints } from '../../hints/redis.ts'
import type { Hint, Hints } from '../../seams/hints.ts'
import { defaultLimits } from '../../seams/limits.ts'
import { noTelemetry } from '../../seams/telemetry.ts'
import type { LogLine } from './broker.ts'
import { loggerTo } from './broker.ts'
import type { HintHub } from './hints.ts'
import { freePorts } from './server.ts'
import { need } from './skipping.ts'
import { tempFolder } from './temp.ts'
import { Inbox, within } from './waiting.ts'

const installed = 'on Debian: apt-get install redis-server'

/** A process of our own; the test is skipped, loudly, where there is no redis-server. */
export async function redisProcess(context: Mocha.Context, args: readonly string[] = []): Promise<RedisProcess> {
  need(context, 'redis-server', installed)
  const [port] = (await freePorts(1)) as [number]
  const redis = new RedisProcess(port, await tempFolder(), args)
  await redis.start()
  return redis
}

/** The user's Redis, or one of our own. */
export async function anyRedis(context: Mocha.Context): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const url = process.env['REDIS_URL']
  if (url !== undefined) return { url, stop: () => Promise.resolve() }
  need(context, 'redis-server', `${installed}; or REDIS_URL=redis://… of one of yours`)
  return await redisProcess(context)
}

/** To be called within a suite: gives its tests a Redis, and returns what makes a hub over it. */
export function redisHubs(): () => HintHub {
  let redis: { readonly url: string; stop(): Promise<void> } | undefined
  before(async function () {
    redis = await anyRedis(this)
  })
  afterEach(closeRedisNodes)
  after(() => redis?.stop())
  return () => redisHintHub(redis?.url as string)
}

const living = new Set<ChildProcess>()
process.once('exit', () => living.forEach((child) => child.kill('SIGKILL')))

export class RedisProcess {
  readonly port: number
  readonly url: string
  readonly #words: readonly string[]
  #child: ChildProcess | undefined

  constructor(port: number, folder: string, args: readonly string[]) {
    this.port = port
    this.url = `redis://127.0.0.1:${port}`
    this.#words = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder, ...args]
  }

  /** Resolves when it takes connections. */
  async start(): Promise<void> {
    const child = spawn('redis-server', this.#words, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#child = child
    living.add(child)
    const output = new Inbox<string>()
    child.stdout.setEncoding('utf8').on('data', (text: string) => output.add(text))
    child.once('exit', () => output.end('redis-server has ended'))
    await output.until(() => output.all.join('').includes('Ready to accept connections'), 'redis-server to start')
  }

  /** Kills it; it may be started again. */
  async stop(): Promise<void> {
    const child = this.#child
    if (!child) return
    this.#child = undefined
    living.delete(child)
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await within(ended, 'redis-server to end')
  }

  /** Lets it stand still with its connections open. */
  pause(): void {
    this.#child?.kill('SIGSTOP')
  }

  resume(): void {
    this.#child?.kill('SIGCONT')
  }
}

export interface RedisNode {
  readonly hints: RedisHints
  readonly lines: Inbox<LogLine>
  readonly counts: Record<'sent' | 'received' | 'dropped' | 'ignored', number>
  /** Resolves when it has connected once more than it had when this was called last. */
  connected(): Promise<void>
}

export interface RedisNodeOptions {
  readonly url: string
  readonly prefix?: string
  readonly epoch?: string
  readonly limits?: Partial<ConstructorParameters<typeof RedisHints>[0]['limits']>
}

const nodes = new Set<RedisHints>()

/** For `afterEach`. */
export async function closeRedisNodes(): Promise<void> {
  await Promise.all([...nodes].map((hints) => hints.close()))
  nodes.clear()
}

/** One end, begun; not yet connected. */
export function redisNode({ url, prefix = 'test', epoch = 'epoch001', limits }: RedisNodeOptions): RedisNode {
  const lines = new Inbox<LogLine>()
  const counts = { sent: 0, received: 0, dropped: 0, ignored: 0 }
  const telemetry = { ...noTelemetry, hints: (outcome: keyof typeof counts, count: number) => void (counts[outcome] += count) }
  const hints = new RedisHints({ url, prefix, limits: { ...defaultLimits, ...limits }, logger: loggerTo(lines), telemetry })
  nodes.add(hints)
  hints.start(epoch)
  const connected = async (): Promise<void> => {
    await lines.take(({ message }) => message === 'hints come and go over Redis', 'the connection to Redis')
  }
  return { hints, lines, counts, connected }
}

/** Nodes that meet at a Redis; those of another hub do not hear them. */
export function redisHintHub(url: string): HintHub {
  const prefix = `test-${process.pid}-${Math.random().toString(36).slice(2)}`
  const ends = new Set<End>()
  return {
    async join() {
      const node = redisNode({ url, prefix })
      await node.connected()
      const end = new End(node.hints, () => ends.delete(end))
      ends.add(end)
      return end
    },
    async settled() {
      const marks = [...ends].map((end) => end.mark())
      await Promise.all([...ends].map((end) => end.heard(marks.filter((mark) => !end.own.has(mark)))))
    },
  }
}

/** One end of the hub: what it sends is followed by a mark where the hub wants to know that it has come. */
class End implements Hints {
  readonly own = new Set<string>()
  readonly #hints: RedisHints
  readonly #left: () => void
  readonly #marks = new Inbox<string>()

  constructor(hints: RedisHints, left: () => void) {
    this.#hints = hints
    this.#left = left
    hints.listen((hint) => {
      if (isMark(hint)) this.#marks.add(hint.session)
    })
  }

  send(hint: Hint): void {
    this.#hints.send(hint)
  }

  listen(listener: (hint: Hint) => void): () => void {
    return this.#hints.listen((hint) => {
      if (!isMark(hint)) listener(hint)
    })
  }

  close(): Promise<void> {
    this.#left()
    return this.#hints.close()
  }

  mark(): string {
    const session = `mark ${Math.random()}`
    this.own.add(session)
    this.#hints.send({ type: 'takeover', session, generation: 0 })
    return session
  }

  async heard(marks: readonly string[]): Promise<void> {
    await this.#marks.until(() => marks.every((mark) => this.#marks.all.includes(mark)), 'the hints on their way')
  }
}

function isMark(hint: Hint): hint is Hint & { type: 'takeover' } {
  return hint.type === 'takeover' && hint.session.startsWith('mark ')
}
