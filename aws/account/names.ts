/** What things in the account are called. IAM's names are the same in all regions, so that they hold one. */
import { ingestDoors } from '../../auth/aws-iot/bridge.ts'

export { bridgedDoors, ingestDoors } from '../../auth/aws-iot/bridge.ts'

/** Of the template's texts: CloudFormation puts the values in. */
export const clientRoleName = '${Root}-client-${AWS::Region}'
export const bridgeRoleName = '${Root}-bridge-${AWS::Region}'
export const serverPolicyName = '${Root}-server-${AWS::Region}'
export const functionRoleName = '${Root}-authorizer-${AWS::Region}'
export const ruleRoleName = '${Root}-ingest-${AWS::Region}'
export const authorizerName = '${Root}-authorizer'
export const functionName = '${Root}-authorizer'
export const logGroupName = '/aws/lambda/${Root}-authorizer'
export const ingestQueueName = '${Root}-ingest'
export const deadLetterQueueName = '${Root}-ingest-dead'
export const ruleErrorQueueName = '${Root}-ingest-rule-errors'

export type IngestDoor = (typeof ingestDoors)[number]

/** First levels below the root that clients of the fence may ever publish to, and be sent. */
export const publishedDoors = ingestDoors
export const receivedDoors = ['users', 'spaces', 'outbox', 'inbox', 'sync', 'reply'] as const

/** The stack that `tidemark aws apply` makes. */
export function stackName(root: string): string {
  return `tidemark-${root}`
}

/** What a stack of ours is known by: the key of a tag, whose value is the root. */
export const stackTag = 'tidemark:root'
