/**
 * One connection that takes messages in: a member of the shared subscriptions whose session AWS keeps, so that what comes while it is
 * away waits or goes to another member. One message at a time; its PUBACK is held until the log has it.
 */
import type { IPublishPacket, MqttClient } from 'mqtt'
import { ingestDoors, shareGroup } from '../../auth/aws-iot/bridge.ts'
import { SyncError } from '../../protocol/errors.ts'
import { AwsConnection, type ConnectionParts } from './connection.ts'
import type { Intake } from './intake.ts'

export class Worker {
  readonly #root: string
  readonly #intake: Intake
  readonly #connection: AwsConnection
  /** Ends what waits for a store when its connection is over: the message comes again. */
  #visit = new AbortController()
  #underWay: Promise<void> = Promise.resolve()
  #isLeaving = false

  constructor(root: string, intake: Intake, connection: Omit<ConnectionParts, 'clean'>) {
    this.#root = root
    this.#intake = intake
    this.#connection = new AwsConnection(
      { ...connection, clean: false },
      {
        opened: (client) => this.#opened(client),
        received: (packet, done) => this.#received(packet, done),
        leaving: () => this.#leave(),
        lost: () => this.#lost(),
      },
    )
  }

  get isOpen(): boolean {
    return this.#connection.isOpen
  }

  start(): void {
    this.#connection.start()
  }

  close(): Promise<void> {
    return this.#connection.close()
  }

  async #opened(client: MqttClient): Promise<void> {
    const filters = ingestDoors.map((door) => `$share/${shareGroup}/${this.#root}/${door}/#`)
    await new Promise<void>((resolve, reject) => {
      client.subscribe(filters, { qos: 1 }, (error, _granted, suback) => {
        const codes: readonly unknown[] = suback?.granted ?? []
        if (!error && codes.length === filters.length && codes.every((code) => code === 1)) return resolve()
        reject(
          new SyncError(
            'engine-refused',
            `AWS does not let the bridge subscribe (${codes.join(' ')}): look at the policy of its role`,
            {},
            error,
          ),
        )
      })
    })
  }

  #received({ topic, payload, qos }: IPublishPacket, done: (outcome: 'taken' | 'again') => void): void {
    // To this worker's next connection, or to another worker.
    if (this.#isLeaving) return done('again')
    // What came at QoS 0 is delivered by AWS and in no log; our own copies are among it [P-20.6].
    if (qos === 0 || !topic.startsWith(`${this.#root}/`)) return done('taken')
    const { signal } = this.#visit
    this.#underWay = this.#intake.take({ topic: topic.slice(this.#root.length + 1), payload: Buffer.from(payload) }, signal).then(
      () => done('taken'),
      () => done('again'), // Given up with its connection.
    )
  }

  async #leave(): Promise<void> {
    this.#isLeaving = true
    const { signal } = this.#visit
    const lost = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    await Promise.race([this.#underWay, lost])
  }

  #lost(): void {
    this.#visit.abort()
    this.#visit = new AbortController()
    this.#isLeaving = false
  }
}
