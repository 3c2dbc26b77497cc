/** What the rows of the SDK share: our server, NATS as it is and as it can be durable, and where their clients run. */
import { randomBytes } from 'node:crypto'
import { SignJWT } from 'jose'
import { installNats, startNats, type NatsServer } from '../brokers/nats.ts'
import { cpuSeconds } from '../brokers/process-figures.ts'
import type { Broker } from '../brokers/broker.ts'
import { startTidemark } from '../brokers/tidemark.ts'
import type { Context } from '../shapes/shape.ts'
import { nodeRunner, startChromium, type Chromium, type Runner } from './runners.ts'
import type { Target } from './subject.ts'

export type PlaceName = 'node' | 'chromium'

export interface Rig {
  readonly ours: Broker
  /** Empty where NATS is not to be had. */
  readonly rivals: readonly NatsServer[]
  readonly chromium: Chromium | undefined
  /** A fresh process or page, which ends with the work. */
  within<Result>(place: PlaceName, work: (runner: Runner) => Promise<Result>): Promise<Result>
  /** At our server: users `bench-{from}` and so on, each with a stream and an outbox of its own. */
  ownTargets(from: number, count: number): Promise<Target[]>
  stop(): Promise<void>
}

const issuer = 'https://bench.example.org'

export async function startRig(context: Context, name: string, rivals: readonly ('default' | 'always')[]): Promise<Rig> {
  const natsFolder = rivals.length > 0 ? installNats() : undefined
  const chromium = await startChromium(natsFolder)
  // In development mode no page of another origin is admitted.
  const secret = randomBytes(32).toString('base64url')
  const ours = await startTidemark({
    folder: context.folder(`${name}-ours`),
    dist: context.dist,
    env: {
      TIDEMARK_ISSUERS: JSON.stringify([{ issuer, algorithms: ['HS256'], secret }]),
      TIDEMARK_CORS_ORIGINS: chromium?.origin ?? '',
    },
  })
  const started: NatsServer[] = []
  if (natsFolder !== undefined)
    for (const syncs of rivals) started.push(await startNats(natsFolder, context.folder(`${name}-nats-${syncs}`), syncs))
  return {
    ours,
    rivals: started,
    chromium,
    async within(place, work) {
      const runner = place === 'node' ? nodeRunner(natsFolder) : await (chromium as Chromium).page()
      try {
        return await work(runner)
      } finally {
        await runner.close()
      }
    },
    ownTargets: (from, count) =>
      Promise.all(
        Array.from({ length: count }, async (_, number): Promise<Target> => {
          const user = `bench-${from + number}`
          const folder = context.folder(`${name}-outbox-${user}`)
          return { system: 'tidemark', url: ours.httpUrl as string, token: await tokenOf(user, secret), stream: `users/${user}`, folder }
        }),
      ),
    async stop() {
      await Promise.all([chromium?.close(), ours.stop(), ...started.map((server) => server.stop())])
    },
  }
}

function tokenOf(user: string, secret: string): Promise<string> {
  return new SignJWT()
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer(issuer)
    .setAudience('tidemark')
    .setSubject(user)
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(new TextEncoder().encode(secret))
}

export function natsTargets({ url }: NatsServer, from: number, count: number): Target[] {
  return Array.from({ length: count }, (_, number) => ({ system: 'nats', url, stream: `bench-${from + number}` }))
}

/** What the work gives, with the processor time that the server spent on each of its events. */
export async function timed<Result>(
  { pid }: { readonly pid: number },
  events: (result: Result) => number,
  work: () => Promise<Result>,
): Promise<{ result: Result; cpuMicrosPerEvent: number }> {
  const before = cpuSeconds(pid)
  const result = await work()
  return { result, cpuMicrosPerEvent: ((cpuSeconds(pid) - before) * 1e6) / Math.max(1, events(result)) }
}
