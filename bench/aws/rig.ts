/** Our server as the engine `aws-iot`, with the tests' stand-ins of STS and AWS IoT Core in this process. */
import { AwsWorld, awsCredentials } from '../../test/support/aws/world.ts'
import type { Broker } from '../brokers/broker.ts'
import { startTidemark } from '../brokers/tidemark.ts'
import type { Context } from '../shapes/shape.ts'

export interface AwsRig {
  readonly world: AwsWorld
  readonly server: Broker
  /** An app token of `bench-0` and so on. */
  readonly token: (number: number) => Promise<string>
  stop(): Promise<void>
}

export interface AwsRigOptions {
  /** Of each kind; default 2, as the product has. */
  readonly connections?: number
  readonly atIntervalMs?: number
}

export async function startAwsRig(context: Context, name: string, options: AwsRigOptions = {}): Promise<AwsRig> {
  const { connections = 2, atIntervalMs } = options
  const world = await AwsWorld.start()
  const { engine = 'aws-iot', awsIot } = world.settings
  const server = await startTidemark({
    folder: context.folder(`${name}-aws`),
    dist: context.dist,
    env: {
      TIDEMARK_ENGINE: engine,
      TIDEMARK_AWS_IOT: JSON.stringify({ ...awsIot, ingestConnections: connections, deliveryConnections: connections }),
      ...(atIntervalMs === undefined ? {} : { TIDEMARK_LIMITS_AT_INTERVAL_MS: String(atIntervalMs) }),
      AWS_ACCESS_KEY_ID: awsCredentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: awsCredentials.secretAccessKey,
    },
  })
  await world.gateway.when(() => {
    const workers = world.gateway.connected('svc.acme.bridge-in-')
    const lanes = world.gateway.connected('svc.acme.bridge-out-')
    return (
      lanes.length === connections && workers.length === connections && workers.every((one) => world.gateway.filtersOf(one).length === 4)
    )
  })
  return {
    world,
    server,
    async token(number) {
      const credentials = (await server.credentials(number + 1))[number]
      return String(credentials?.password)
    },
    async stop() {
      // What waits to be sent is of no interest, and would take its time.
      process.kill(server.pid, 'SIGKILL')
      await server.stop()
      await world.close()
    },
  }
}
