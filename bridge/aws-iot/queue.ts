/** The queue in SQS that AWS's rules write to, and the one for what no log can hold. */
import type * as Sdk from '@aws-sdk/client-sqs'
import type { AwsIotConfig } from '../../auth/aws-iot/config.ts'
import type { ServerCredentials } from '../../auth/aws-iot/sts.ts'
import { SyncError } from '../../protocol/errors.ts'
import {
  awsQueueAttemptsMax,
  awsQueueHoldSeconds,
  awsQueueMessagesMax,
  awsQueueTimeoutMs,
  awsReasonCharsMax,
  stsConnectMsMax,
} from '../../seams/limits.ts'

export interface QueueMessage {
  /** The same each time it comes. */
  readonly id: string
  readonly body: string
  /** How often it has come, this time included. */
  readonly times: number
  readonly sentMs: number
  /** What it is deleted by, this time. */
  readonly receipt: string
}

export class Queue {
  readonly #sdk: typeof Sdk
  readonly #client: Sdk.SQSClient
  readonly #url: string
  readonly #deadLetterUrl: string

  /** Loads the AWS SDK; contacts nobody. Throws `bad-request` without the URLs. */
  static async open(config: AwsIotConfig, credentials: ServerCredentials | undefined): Promise<Queue> {
    const { region, queueUrl, deadLetterQueueUrl } = config
    if (queueUrl === undefined || deadLetterQueueUrl === undefined)
      throw new SyncError('bad-request', 'awsIot.queueUrl and awsIot.deadLetterQueueUrl are missing: "ingest": "sqs" needs both')
    const sdk = await import('@aws-sdk/client-sqs')
    const client = new sdk.SQSClient({
      region,
      // The URL says where it is: the region's endpoint, or a stand-in.
      endpoint: new URL(queueUrl).origin,
      maxAttempts: awsQueueAttemptsMax,
      retryMode: 'standard',
      requestHandler: { connectionTimeout: stsConnectMsMax, requestTimeout: awsQueueTimeoutMs, throwOnRequestTimeout: true },
      ...(credentials === undefined ? {} : { credentials }),
    })
    return new Queue(sdk, client, queueUrl, deadLetterQueueUrl)
  }

  private constructor(sdk: typeof Sdk, client: Sdk.SQSClient, url: string, deadLetterUrl: string) {
    this.#sdk = sdk
    this.#client = client
    this.#url = url
    this.#deadLetterUrl = deadLetterUrl
  }

  /** What there is, at most `awsQueueMessagesMax`; where there is nothing it waits so long. Nobody else gets it for `awsQueueHoldSeconds`. */
  async receive(waitSeconds: number, abortSignal: AbortSignal): Promise<QueueMessage[]> {
    const command = new this.#sdk.ReceiveMessageCommand({
      QueueUrl: this.#url,
      MaxNumberOfMessages: awsQueueMessagesMax,
      WaitTimeSeconds: waitSeconds,
      VisibilityTimeout: awsQueueHoldSeconds,
      MessageSystemAttributeNames: ['ApproximateReceiveCount', 'SentTimestamp'],
    })
    const { Messages: messages = [] } = await told('read', () => this.#client.send(command, { abortSignal }))
    return messages.map(({ MessageId, Body, ReceiptHandle, Attributes }) => ({
      id: MessageId ?? '',
      body: Body ?? '',
      times: Number(Attributes?.ApproximateReceiveCount ?? 1),
      sentMs: Number(Attributes?.SentTimestamp ?? Date.now()),
      receipt: ReceiptHandle ?? '',
    }))
  }

  /** From now on nobody else gets them for so long; 0: they are for everybody again. */
  async hold(messages: readonly QueueMessage[], seconds: number): Promise<void> {
    if (messages.length === 0) return
    const Entries = messages.map(({ receipt }, at) => ({ Id: String(at), ReceiptHandle: receipt, VisibilityTimeout: seconds }))
    const command = new this.#sdk.ChangeMessageVisibilityBatchCommand({ QueueUrl: this.#url, Entries })
    allDone(await told('changed', () => this.#client.send(command)))
  }

  /** They never come again. */
  async delete(messages: readonly QueueMessage[]): Promise<void> {
    if (messages.length === 0) return
    const Entries = messages.map(({ receipt }, at) => ({ Id: String(at), ReceiptHandle: receipt }))
    const command = new this.#sdk.DeleteMessageBatchCommand({ QueueUrl: this.#url, Entries })
    allDone(await told('changed', () => this.#client.send(command)))
  }

  /** Puts a copy, as it is, with the reason into the queue of dead letters. */
  async putAside({ body, id }: QueueMessage, { code, message }: SyncError): Promise<void> {
    const text = (StringValue: string): Sdk.MessageAttributeValue => ({ DataType: 'String', StringValue })
    const command = new this.#sdk.SendMessageCommand({
      QueueUrl: this.#deadLetterUrl,
      MessageBody: body,
      MessageAttributes: { code: text(code), reason: text(spoken(message)), message: text(id) },
    })
    await told('written to for dead letters', () => this.#client.send(command))
  }

  close(): void {
    this.#client.destroy()
  }
}

/** SQS takes no control characters, and nothing that is half a character. */
function spoken(message: string): string {
  // oxlint-disable-next-line no-control-regex
  return message.slice(0, awsReasonCharsMax).replace(/[\u0000-\u001f\ud800-\udfff\ufffe\uffff]/g, '?')
}

function allDone({ Failed: failed = [] }: { readonly Failed?: readonly Sdk.BatchResultErrorEntry[] | undefined }): void {
  const [first] = failed
  if (first) throw new SyncError('engine-unavailable', `SQS has not changed ${failed.length} messages (${first.Code}: ${first.Message})`)
}

async function told<T>(what: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error))
    const advice = advices.find(([form]) => form.test(name))?.[1] ?? ''
    throw new SyncError('engine-unavailable', `the queue cannot be ${what} (${name}: ${message})${advice}`, {}, error)
  }
}

const advices: readonly (readonly [RegExp, string])[] = [
  [/AccessDenied/, ': attach the policy that `tidemark aws apply` names to what the server runs as'],
  [/(?:NonExistent|DoesNotExist)/, ': look at awsIot.queueUrl and awsIot.deadLetterQueueUrl'],
  [/(?:Credentials|Token|UnrecognizedClient|Signature)/, ": look at the server's own AWS credentials and its clock"],
]
