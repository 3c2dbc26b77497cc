/**
 * The queues of the template in moto, and the rules that write to them; what the server asks of them goes through a door at which the test
 * can hold it, and refuse it.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import {
  ChangeMessageVisibilityCommand,
  CreateQueueCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import { accountTemplate } from '../../../aws/account/template.ts'
import { resolveTemplate } from '../../../aws/account/resolve.ts'
import type { JsonObject } from '../../../aws/account/cloudformation.ts'
import type { DeviceGateway } from './device-gateway.ts'
import type { Moto } from './moto.ts'
import { selected } from './rules.ts'
import { account, region } from './sts.ts'

export interface DeadLetter {
  readonly body: string
  readonly code: string | undefined
  readonly reason: string | undefined
}

interface Hold {
  readonly action: string
  readonly reached: (body: Readonly<Record<string, unknown>>) => void
  readonly released: Promise<void>
}

export class Queues {
  /** What the server asked for, in order. */
  readonly asked: string[] = []
  /** Actions that are answered with an error. */
  readonly refused = new Set<string>()
  readonly #moto: Moto
  readonly #client: SQSClient
  readonly #door: Server
  readonly #holds = new Set<Hold>()
  readonly #sending: Promise<unknown>[] = []
  readonly #looking = new Set<() => void>()

  /** Empty ones, made as the template says. */
  static async start(moto: Moto): Promise<Queues> {
    await fetch(`${moto.url}/moto-api/reset`, { method: 'POST' })
    const queues = new Queues(moto)
    for (const id of ['DeadLetterQueue', 'IngestQueue']) {
      const { QueueName, ...properties } = propertiesOf(id)
      const Attributes = Object.fromEntries(
        Object.entries(properties).map(([name, value]) => [name, typeof value === 'object' ? JSON.stringify(value) : String(value)]),
      )
      await queues.#client.send(new CreateQueueCommand({ QueueName: QueueName as string, Attributes }))
    }
    queues.#door.listen(0, '127.0.0.1')
    await once(queues.#door, 'listening')
    return queues
  }

  private constructor(moto: Moto) {
    this.#moto = moto
    this.#client = new SQSClient({ region, endpoint: moto.url, credentials: { accessKeyId: 'test', secretAccessKey: 'test' } })
    this.#door = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => response.destroy(error as Error))
    })
  }

  /** For the server's configuration. */
  get settings(): { readonly ingest: 'sqs'; readonly queueUrl: string; readonly deadLetterQueueUrl: string } {
    const at = `http://127.0.0.1:${(this.#door.address() as AddressInfo).port}/${account}`
    return { ingest: 'sqs', queueUrl: `${at}/acme-ingest`, deadLetterQueueUrl: `${at}/acme-ingest-dead` }
  }

  /** From now on what clients publish there is put into the queue by the template's rules. */
  follow(gateway: DeviceGateway): void {
    const rules = [...resolved.resources.values()].filter(({ type }) => type === 'AWS::IoT::TopicRule')
    const sql = rules.map(({ properties }) => (properties['TopicRulePayload'] as { readonly Sql: string }).Sql)
    gateway.ruled = (message, clientId, sessionName) => {
      const context = { clientId, principal: `AROAROLE:${sessionName}`, nowMs: gateway.now() }
      for (const each of sql) {
        const body = selected(each, message, context)
        if (body !== undefined) this.#sending.push(this.send(body))
      }
    }
  }

  /** Puts a message into the queue as it is. */
  async send(body: string): Promise<void> {
    await this.#client.send(new SendMessageCommand({ QueueUrl: this.#at('acme-ingest'), MessageBody: body }))
  }

  /** Messages that are in the queue, in somebody's hand or not, once the rules have written all of theirs. */
  async left(): Promise<number> {
    await Promise.all(this.#sending)
    const names = ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'] as const
    const command = new GetQueueAttributesCommand({ QueueUrl: this.#at('acme-ingest'), AttributeNames: [...names] })
    const { Attributes } = await this.#client.send(command)
    return names.reduce((sum, name) => sum + Number(Attributes?.[name]), 0)
  }

  async deadLetters(): Promise<DeadLetter[]> {
    const { Messages = [] } = await this.#client.send(
      new ReceiveMessageCommand({
        QueueUrl: this.#at('acme-ingest-dead'),
        MaxNumberOfMessages: 10,
        VisibilityTimeout: 0,
        MessageAttributeNames: ['All'],
      }),
    )
    return Messages.map(({ Body, MessageAttributes }) => ({
      body: Body ?? '',
      code: MessageAttributes?.['code']?.StringValue,
      reason: MessageAttributes?.['reason']?.StringValue,
    }))
  }

  /** The next request of this kind waits until it is released; `reached` is its body. */
  hold(action: string): { readonly reached: Promise<Readonly<Record<string, unknown>>>; readonly release: () => void } {
    let release = (): void => {}
    let reach: Hold['reached'] = () => {}
    const released = new Promise<void>((resolve) => (release = resolve))
    const reached = new Promise<Readonly<Record<string, unknown>>>((resolve) => (reach = resolve))
    this.#holds.add({ action, reached: reach, released })
    return { reached, release }
  }

  /** What somebody has in hand, as the body of their request says, is for everybody again. */
  async giveBack({ Entries }: Readonly<Record<string, unknown>>): Promise<void> {
    for (const { ReceiptHandle } of Entries as readonly { readonly ReceiptHandle: string }[]) {
      const QueueUrl = this.#at('acme-ingest')
      await this.#client.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout: 0 }))
    }
  }

  /** Resolves when the server has asked for this so often. */
  askedFor(action: string, times: number): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.asked.filter((one) => one === action).length < times) return
        this.#looking.delete(look)
        resolve()
      }
      this.#looking.add(look)
      look()
    })
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#sending)
    this.#client.destroy()
    this.#door.close()
    this.#door.closeAllConnections()
    await once(this.#door, 'close')
  }

  #at(name: string): string {
    return `${this.#moto.url}/${account}/${name}`
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const action = String(request.headers['x-amz-target']).replace('AmazonSQS.', '')
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks)
    const held = [...this.#holds].find((each) => each.action === action)
    if (held) {
      this.#holds.delete(held)
      held.reached(JSON.parse(body.toString()) as Readonly<Record<string, unknown>>)
      await held.released
    }
    if (this.refused.has(action)) {
      const type = 'com.amazonaws.sqs#AccessDeniedException'
      response.writeHead(400, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify({ __type: type, message: 'no' }))
    } else {
      const gone = new AbortController()
      response.once('close', () => gone.abort())
      const headers = Object.entries(request.headers).flatMap(([name, value]): [string, string][] =>
        ['host', 'connection', 'content-length', 'expect'].includes(name) ? [] : [[name, String(value)]],
      )
      const { status, text } = await this.#forwarded(headers, body.toString(), gone.signal)
      response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' }).end(text)
    }
    this.asked.push(action)
    for (const look of this.#looking) look()
  }

  /** Waits for messages here: moto would hand them to somebody who has hung up meanwhile. */
  async #forwarded(
    headers: [string, string][],
    body: string,
    gone: AbortSignal,
  ): Promise<{ readonly status: number; readonly text: string }> {
    const { WaitTimeSeconds: seconds = 0 } = JSON.parse(body) as { readonly WaitTimeSeconds?: number }
    const asked = body.replace(/"WaitTimeSeconds":\d+/, '"WaitTimeSeconds":0')
    const untilMs = performance.now() + seconds * 1000
    for (;;) {
      gone.throwIfAborted()
      const answer = await fetch(this.#moto.url, { method: 'POST', headers, body: asked })
      const text = await answer.text()
      const isOver = seconds === 0 || answer.status !== 200 || text.includes('"Messages"') || performance.now() >= untilMs
      if (isOver) return { status: answer.status, text }
      await pause(20, undefined, { signal: gone })
    }
  }
}

const resolved = resolveTemplate(accountTemplate(''), { Root: 'acme', Ingest: 'sqs' }, { region, account, partition: 'aws' })

function propertiesOf(id: string): JsonObject {
  return resolved.resources.get(id)?.properties ?? {}
}
