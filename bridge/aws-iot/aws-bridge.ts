/**
 * The bridge between AWS IoT Core and the log: what clients publish goes in, over MQTT or by rules and a queue, and what the log has goes
 * out over MQTT.
 */
import { createHash } from 'node:crypto'
import type { IPublishPacket, MqttClient } from 'mqtt'
import type { Authority } from '../../auth/index.ts'
import { bridgeClientId, BridgeAdmission, connectedPrefix, lifecycleFilters } from '../../auth/aws-iot/bridge.ts'
import { bridgeConnectionsDefault, type AwsIotConfig } from '../../auth/aws-iot/config.ts'
import type { ServerCredentials } from '../../auth/aws-iot/sts.ts'
import type { Log } from '../../log/log.ts'
import type { Clock } from '../../seams/clock.ts'
import { awsAtTickMs, awsOutgoingBytesMax, type Limits } from '../../seams/limits.ts'
import type { Logger } from '../../seams/logger.ts'
import type { Telemetry } from '../../seams/telemetry.ts'
import { AwsConnection } from './connection.ts'
import { Evictions } from './evictions.ts'
import { Intake } from './intake.ts'
import { Lane, type Outgoing } from './lane.ts'
import { Principals } from './principals.ts'
import { Queue } from './queue.ts'
import { QueueWorker } from './queue-worker.ts'
import { Readers } from './readers.ts'
import { Sequenced } from './sequenced.ts'
import { Worker } from './worker.ts'

export interface AwsBridgeParts {
  readonly config: AwsIotConfig
  readonly log: Log
  readonly authority: Pick<Authority, 'authenticate' | 'isRevoked' | 'onChange' | 'onExchange' | 'blind'>
  readonly clock: Clock
  readonly limits: Limits
  readonly logger: Logger
  readonly telemetry: Telemetry
  /** Of this server in AWS; default what the AWS SDK finds. */
  readonly credentials?: ServerCredentials | undefined
  /** See `ConnectionParts`. */
  readonly connectionMs?: number
}

export class AwsBridge {
  readonly #admission: BridgeAdmission
  readonly #intake: Intake
  readonly #queue: Queue | undefined
  readonly #workers: readonly Worker[]
  readonly #queueWorkers: readonly QueueWorker[]
  readonly #lanes: readonly Lane[]
  readonly #readers: Readers
  readonly #sequenced: Sequenced
  readonly #evictions: Evictions
  readonly #tick: NodeJS.Timeout

  /** Begins to connect, and goes on until it succeeds: an AWS that is not there holds up no start. */
  static async open(parts: AwsBridgeParts): Promise<AwsBridge> {
    const { config, clock, credentials } = parts
    const queue = config.ingest === 'sqs' ? await Queue.open(config, credentials) : undefined
    return new AwsBridge(parts, await BridgeAdmission.open(config, { clock, credentials }), queue)
  }

  private constructor(parts: AwsBridgeParts, admission: BridgeAdmission, queue: Queue | undefined) {
    const { config, log, clock, limits, logger, telemetry, connectionMs } = parts
    const { root, ingestConnections = bridgeConnectionsDefault, deliveryConnections = bridgeConnectionsDefault } = config
    const rules = { ...limits, openEnabled: false }
    const connection = { url: () => admission.url(), logger, connectionMs }
    this.#admission = admission
    this.#readers = new Readers(root, rules)
    const bytesMax = awsOutgoingBytesMax / deliveryConnections
    this.#lanes = Array.from(
      { length: deliveryConnections },
      () => new Lane({ bytesMax, behind: (streams) => this.#sequenced.tellBehind(streams) }),
    )
    this.#sequenced = new Sequenced({ log, root, readers: this.#readers, logger, send: (key, message) => this.#send(key, message) })
    const closeConnection = (clientId: string, signal: AbortSignal): Promise<boolean> => admission.closeConnection(clientId, signal)
    this.#evictions = new Evictions({ authority: parts.authority, log, logger, closeConnection })
    this.#intake = new Intake({
      log,
      principals: new Principals(parts.authority, clock, (principal) => this.#evictions.met(principal)),
      clock,
      limits,
      rules,
      logger,
      telemetry,
      answer: (client, id, payload) => this.#sequenced.answer(client, id, payload),
    })
    this.#queue = queue
    this.#queueWorkers = Array.from({ length: queue ? ingestConnections : 0 }, () => {
      return new QueueWorker({ config, queue: queue as Queue, intake: this.#intake, clock, logger })
    })
    this.#workers = Array.from({ length: queue ? 0 : ingestConnections }, (_, at) => {
      return new Worker(root, this.#intake, { ...connection, clientId: bridgeClientId(config, `in-${at + 1}`) })
    })
    for (const [at, lane] of this.#lanes.entries()) {
      lane.connection = new AwsConnection(
        { ...connection, clean: true, clientId: bridgeClientId(config, `out-${at + 1}`) },
        {
          opened: async (client) => {
            if (at === 0) await listen(client)
            lane.opened(client)
          },
          received: ({ topic, payload }: IPublishPacket, done) => {
            this.#readers.heard(topic, Buffer.from(payload), clock.now())
            if (topic.startsWith(connectedPrefix)) this.#evictions.connected(topic.slice(connectedPrefix.length))
            done('taken')
          },
          leaving: () => lane.drained(),
          lost: () => lane.lost(),
        },
      )
    }
    this.#tick = setInterval(() => {
      for (const lane of this.#lanes) lane.check()
      void this.#sequenced.tellAt([...this.#readers.due(clock.now(), limits.atIntervalMs)])
    }, awsAtTickMs)
    for (const { connection: one } of this.#lanes) one?.start()
    for (const worker of this.#incoming) worker.start()
  }

  /** How many connections stand, of how many there should be. */
  get connections(): { readonly open: number; readonly wanted: number } {
    const all = [...this.#incoming, ...this.#lanes.map(({ connection }) => connection)]
    return { open: all.filter((one) => one?.isOpen).length, wanted: all.length }
  }

  /** For metrics. */
  stats(): Readonly<Record<string, number>> {
    const sum = (what: (lane: Lane) => number): number => this.#lanes.reduce((total, lane) => total + what(lane), 0)
    const { entries, answers, refused } = this.#intake
    return {
      awsIngestConnections: this.#incoming.filter(({ isOpen }) => isOpen).length,
      awsDeliveryConnections: this.#lanes.filter(({ connection }) => connection?.isOpen).length,
      awsIngestedEntries: entries,
      awsAnsweredPuts: answers,
      awsRefusedMessages: refused,
      awsSentMessages: sum(({ sent }) => sent),
      awsDroppedMessages: sum(({ dropped }) => dropped),
      awsThrottledTimes: sum(({ throttled }) => throttled),
      awsBacklogMessages: sum(({ messages }) => messages),
      awsBacklogBytes: sum(({ bytes }) => bytes),
      awsLagSeconds: Math.max(...this.#lanes.map(({ lagMs }) => lagMs)) / 1000,
      awsFollowedFilters: this.#readers.filters,
      awsClosedConnections: this.#evictions.closed,
      awsUnclosedConnections: this.#evictions.failed,
      ...(this.#queue && this.#queueStats()),
    }
  }

  #queueStats(): Readonly<Record<string, number>> {
    const sum = (what: (worker: QueueWorker) => number): number => this.#queueWorkers.reduce((total, each) => total + what(each), 0)
    return {
      awsQueueReceivedMessages: sum(({ received }) => received),
      awsQueueRepeatedMessages: sum(({ repeated }) => repeated),
      awsQueueDeadLetters: sum(({ deadLetters }) => deadLetters),
      awsQueueLagSeconds: Math.max(...this.#queueWorkers.map(({ lagMs }) => lagMs)) / 1000,
    }
  }

  get #incoming(): readonly (Worker | QueueWorker)[] {
    return [...this.#workers, ...this.#queueWorkers]
  }

  /** Takes nothing more, finishes what is under way, sends what waits, disconnects. */
  async close(): Promise<void> {
    clearInterval(this.#tick)
    await Promise.all(this.#incoming.map((worker) => worker.close()))
    this.#queue?.close()
    this.#sequenced.close()
    await this.#evictions.close()
    await Promise.all(this.#lanes.map(async ({ connection }) => await connection?.close()))
    this.#admission.close()
  }

  /** What belongs together keeps its order: it takes one lane. */
  #send(key: string, message: Outgoing): void {
    const number = createHash('sha256').update(key).digest().readUInt32BE()
    this.#lanes[number % this.#lanes.length]?.send(message)
  }
}

/** Without these events readers look by themselves: an account may not have them switched on. */
async function listen(client: MqttClient): Promise<void> {
  await new Promise<void>((resolve) => client.subscribe([...lifecycleFilters], { qos: 1 }, () => resolve()))
}
