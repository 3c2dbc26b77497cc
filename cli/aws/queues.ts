/** What waits in the queue that rules write to, and what was put aside. */
import { Trouble, type Found } from '../doctor/report.ts'
import type { Deployment } from './deployment.ts'
import { asked } from './refusals.ts'
import type { StackState } from './stack.ts'

/** Throws `Trouble` where there are dead letters: somebody has to look at them. */
export async function checkQueues({ region }: Deployment, { outputs }: StackState): Promise<Found<undefined>> {
  const { SQSClient, GetQueueAttributesCommand } = await import('@aws-sdk/client-sqs')
  // By the region's endpoint, or that of the environment, as everything here.
  const client = new SQSClient({ region, useQueueUrlAsEndpoint: false })
  const count = async (output: string): Promise<number> => {
    const QueueUrl = outputs[output]
    if (QueueUrl === undefined) throw new Trouble(`the stack does not say what its ${output} is`, 'run `tidemark aws apply` again')
    const names = ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'] as const
    const { Attributes } = await asked('a queue cannot be looked at', () =>
      client.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: [...names] })),
    )
    return names.reduce((sum, name) => sum + Number(Attributes?.[name] ?? 0), 0)
  }
  try {
    const [waiting, dead] = await Promise.all([count('IngestQueueUrl'), count('DeadLetterQueueUrl')])
    if (dead > 0)
      throw new Trouble(
        `${dead} dead letters are in ${outputs['DeadLetterQueueUrl']}`,
        'look at their attribute `reason`, mend the cause, and move them back or delete them',
      )
    return { said: `${waiting} messages wait or are in hand, and there are no dead letters`, value: undefined }
  } finally {
    client.destroy()
  }
}
