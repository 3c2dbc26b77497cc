/** What the tests of AWS IoT Core share: a place, the fence of the role, and one client's policy as AWS would judge it. */
import { Grants } from '../../../auth/index.ts'
import type { AwsPlace } from '../../../auth/aws-iot/config.ts'
import { awsClientId } from '../../../auth/aws-iot/names.ts'
import { authorizerPolicies, sessionPolicy, type PolicyOptions, type PolicySubject } from '../../../auth/aws-iot/policy.ts'
import { defaultClaimsToGrants } from '../../../auth/claims.ts'
import { encodeName } from '../../../protocol/names.ts'
import { isAllowed, type IamContext, type IamDocument } from '../../support/aws/iam.ts'
import { account, region } from '../../support/aws/sts.ts'

export const place: AwsPlace = { root: 'acme', region, account }

export const roleArn = `arn:aws:iam::${account}:role/acme-client`

/** What the role of clients allows to anybody: the outer fence. */
export const fence: IamDocument = {
  Version: '2012-10-17',
  Statement: [
    { Effect: 'Allow', Action: 'iot:Connect', Resource: arn('client', 'acme.*') },
    { Effect: 'Allow', Action: ['iot:Publish', 'iot:Receive'], Resource: arn('topic', 'acme/*') },
    { Effect: 'Allow', Action: 'iot:Subscribe', Resource: arn('topicfilter', 'acme/*') },
  ],
}

export function arn(type: 'client' | 'topic' | 'topicfilter', name: string): string {
  return `arn:aws:iot:${region}:${account}:${type}/${name}`
}

export type Verdict = (action: string, resource: string, context?: IamContext) => boolean

export interface Judged {
  readonly text: string
  readonly may: Verdict
}

export function subjectOf(grants: readonly string[], uid = 'alice', instance = 'phone'): PolicySubject {
  const clientId = awsClientId('acme', uid, instance, 128)
  return { grants: Grants.parse(grants), clientId, client: encodeName(clientId) }
}

/** The session policy of these grants, behind the fence. */
export function judged(subject: PolicySubject, options: PolicyOptions = {}): Judged {
  const text = sessionPolicy(place, subject, options)
  return { text, may: verdictOf([[fence], [JSON.parse(text) as IamDocument]]) }
}

/** The same by the documents of the custom authorizer, which stand alone. */
export function authorized(subject: PolicySubject, options: PolicyOptions = {}): Verdict {
  return verdictOf([authorizerPolicies(place, subject, options)])
}

export function verdictOf(layers: readonly (readonly IamDocument[])[]): Verdict {
  return (action, resource, context = {}) => isAllowed(layers, { action, resource, context })
}

/** What a token of alice grants by default, with a space. */
export const defaults = defaultClaimsToGrants('alice', { spaces: { b: 'write' } })
