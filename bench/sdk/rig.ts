/** What the rows of the SDK share: our server, NATS as it is and as it can be durable, and where their clients run. */
import { randomBytes } from 'node:crypto'
import { SignJWT } from 'jose'
import { installNats, startNats, type NatsServer } from '../brokers/nats.ts'
import { cpuSeconds } from '../brokers/process-figures.ts'
import type { Broker } from '../brokers/broker.ts'
import { startTidemark } from '../brokers/tidemark.ts'
import type { Context } from '../shapes/shape.ts'
import { nodeRunner, startChromium, type Runner } from './runners.ts'
import type { OwnTarget, Target } from './subject.ts'

export type PlaceName = 'node' | 'chromium'

export interface Rig {
  readonly ours: Broker
  /** Empty where NATS is not to be had. */
  readonly rivals: readonly NatsServer[]
  /** As it stands in rows. */
  readonly placeText: string
  /** A fresh process or page, which ends with the work. */
  within<Result>(work: (runner: Runner) => Promise<Result>): Promise<Result>
  /** The same in Node, wherever the place is: for preparations. */
  aside<Result>(work: (runner: Runner) => Promise<Result>): Promise<Result>
  /** At our server: users `bench-{from}` and so on, each with a stream and, where it is `kept`, an outbox on disk of its own. */
  ownTargets(from: number, count: number, outbox?: 'kept'): Promise<OwnTarget[]>
  stop(): Promise<void>
}

const issuer = 'https://bench.example.org'

/** Undefined where this machine has no such place. */
export async function startRig(
  context: Context,
  name: string,
  place: PlaceName,
  rivals: readonly ('default' | 'always')[],
): Promise<Rig | undefined> {
  const natsFolder = installNats()
  const chromium = place === 'chromium' ? await startChromium(natsFolder) : undefined
  if (place === 'chromium' && !chromium) {
    context.say(`${name}: there is no Chromium here`)
    return undefined
  }
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
  const runIn = async <Result>(runner: Runner, work: (runner: Runner) => Promise<Result>): Promise<Result> => {
    try {
      return await work(runner)
    } finally {
      await runner.close()
    }
  }
  return {
    ours,
    rivals: started,
    placeText: chromium ? `Chromium ${chromium.version}` : 'Node',
    within: async (work) => runIn(chromium ? await chromium.page() : nodeRunner(natsFolder), work),
    aside: (work) => runIn(nodeRunner(natsFolder), work),
    ownTargets: (from, count, outbox) =>
      Promise.all(
        Array.from({ length: count }, async (_, number): Promise<OwnTarget> => {
          const user = `bench-${from + number}`
          const target = {
            system: 'tidemark',
            url: ours.httpUrl as string,
            token: await tokenOf(user, secret),
            stream: `users/${user}`,
          } as const
          return outbox ? { ...target, folder: context.folder(`${name}-outbox-${user}`) } : target
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
