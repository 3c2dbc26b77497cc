/**
 * Everything that an account needs, as one CloudFormation template: names, roles, topics and rules stand here and in the
 * files beside this one, and nowhere else. The Terraform module in `aws/terraform` says the same, and a test compares them.
 */
import { alarms } from './alarms.ts'
import { authorizerAdmission, clientAdmission } from './admission.ts'
import { arnOf, ref, sub, type Parameter, type Template } from './cloudformation.ts'
import { ingest } from './ingest.ts'
import { authorizerName } from './names.ts'

/** How long CloudWatch keeps logs: it knows these and no others. */
export const retentionDays = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]

const parameters: Readonly<Record<string, Parameter>> = {
  Root: {
    Type: 'String',
    Description: 'First level of every topic, first part of every client id: one deployment in an account and region',
    AllowedPattern: '(?!svc$)[a-z0-9-]{1,16}',
    ConstraintDescription: '1 to 16 of a-z, 0-9 and -, not svc',
  },
  ServerPrincipal: {
    Type: 'String',
    Default: '',
    Description:
      'ARN of the role or user that the server runs as. Without it whoever in the account may assume the roles of clients and bridge by a policy',
    AllowedPattern: '(arn:aws[a-z-]*:iam::\\d{12}:(role|user)/[\\w+=,.@/-]+)?',
  },
  BrokerIssuer: { Type: 'String', Default: '', Description: 'publicHttpUrl of the server, for the authorizer' },
  BrokerAudience: { Type: 'String', Default: 'tidemark', Description: 'audience of the server, for the authorizer' },
  BrokerJwks: { Type: 'String', Default: '', Description: 'The answer of GET /.well-known/jwks.json, for the authorizer' },
  TokenSigningKey: {
    Type: 'String',
    Default: '',
    Description: 'Public key of the server as PEM. Without it there is no authorizer',
    AllowedPattern: '(-----BEGIN PUBLIC KEY-----[A-Za-z0-9+/=\\s]+-----END PUBLIC KEY-----\\s*)?',
  },
  SecondTokenSigningKey: {
    Type: 'String',
    Default: '',
    Description: 'Another one, while keys are changed',
    AllowedPattern: '(-----BEGIN PUBLIC KEY-----[A-Za-z0-9+/=\\s]+-----END PUBLIC KEY-----\\s*)?',
  },
  TokenKeyName: {
    Type: 'String',
    Default: 'token',
    Description: 'What the token is called in the query of a connection',
    AllowedPattern: '[A-Za-z0-9_-]{1,128}',
  },
  AuthorizerStatus: {
    Type: 'String',
    Default: 'ACTIVE',
    Description: 'INACTIVE lets nobody in by the authorizer',
    AllowedValues: ['ACTIVE', 'INACTIVE'],
  },
  Ingest: {
    Type: 'String',
    Default: 'mqtt',
    Description: 'How what clients publish reaches the server: as a subscriber, or by rules and a queue',
    AllowedValues: ['mqtt', 'sqs'],
  },
  AlarmTopic: {
    Type: 'String',
    Default: '',
    Description: 'ARN of an SNS topic that hears of alarms',
    AllowedPattern: '(arn:aws[a-z-]*:sns:[a-z0-9-]+:\\d{12}:[A-Za-z0-9_-]+)?',
  },
  LogRetentionDays: { Type: 'Number', Default: 30, Description: "How long the authorizer's log is kept", AllowedValues: retentionDays },
}

function given(name: string): { readonly 'Fn::Not': readonly [{ readonly 'Fn::Equals': readonly [{ readonly Ref: string }, ''] }] } {
  return { 'Fn::Not': [{ 'Fn::Equals': [{ Ref: name }, ''] }] }
}

/** With the authorizer's code in it, as CommonJS: CloudFormation packs it as `index.js`. */
export function accountTemplate(authorizerCode: string): Template {
  return {
    AWSTemplateFormatVersion: '2010-09-09',
    Description: 'AWS IoT Core as the engine of a Tidemark deployment',
    Parameters: parameters,
    Conditions: {
      HasServerPrincipal: given('ServerPrincipal'),
      HasAuthorizer: given('TokenSigningKey'),
      HasSecondKey: given('SecondTokenSigningKey'),
      HasQueue: { 'Fn::Equals': [ref('Ingest'), 'sqs'] },
      HasAlarmTopic: given('AlarmTopic'),
    },
    Resources: { ...clientAdmission, ...authorizerAdmission(authorizerCode), ...ingest, ...alarms },
    Outputs: {
      ClientRoleArn: { Description: 'awsIot.roleArn of the server', Value: arnOf('ClientRole') },
      BridgeRoleArn: { Description: 'awsIot.bridgeRoleArn of the server', Value: arnOf('BridgeRole') },
      ServerPolicyArn: { Description: 'To be attached to what the server runs as', Value: ref('ServerPolicy') },
      AuthorizerName: {
        Description: 'awsIot.authorizer of the server, in place of roleArn',
        Condition: 'HasAuthorizer',
        Value: sub(authorizerName),
      },
      IngestQueueUrl: { Description: 'awsIot.queueUrl of the server', Condition: 'HasQueue', Value: ref('IngestQueue') },
      DeadLetterQueueUrl: {
        Description: 'awsIot.deadLetterQueueUrl of the server',
        Condition: 'HasQueue',
        Value: ref('DeadLetterQueue'),
      },
    },
  }
}
