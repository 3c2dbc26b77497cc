/** What things in the account are called. IAM's names are the same in all regions, so that they hold one. */

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

/** The doors by which clients send something that is kept; each has a rule of its own. */
export const ingestDoors = ['put', 'users', 'spaces', 'outbox'] as const

export type IngestDoor = (typeof ingestDoors)[number]

/** First levels below the root that clients of the fence may ever publish to, and be sent. */
export const publishedDoors = ['put', 'users', 'spaces', 'outbox'] as const
export const receivedDoors = ['users', 'spaces', 'outbox', 'inbox', 'sync', 'reply'] as const

/** First levels below the root on which the server itself says something. */
export const bridgedDoors = ['sync', 'reply', 'users', 'spaces', 'outbox', 'inbox'] as const

/** The stack that `tidemark aws apply` makes. */
export function stackName(root: string): string {
  return `tidemark-${root}`
}

/** What a stack of ours is known by: the key of a tag, whose value is the root. */
export const stackTag = 'tidemark:root'
