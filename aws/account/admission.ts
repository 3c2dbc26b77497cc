/** How clients come in: the role that they assume, what the server may do about it, and the custom authorizer. */
import { either, policy, ref, sub, trust, arnOf, type Json, type JsonObject, type Resource } from './cloudformation.ts'
import {
  authorizerName,
  bridgedDoors,
  bridgeRoleName,
  clientRoleName,
  functionName,
  functionRoleName,
  logGroupName,
  publishedDoors,
  receivedDoors,
  serverPolicyName,
} from './names.ts'

/** An hour is the least that a role can be given; the server asks for 15 minutes. */
const sessionSecondsMax = 3600
/** AWS IoT Core waits no longer for an authorizer. */
const functionTimeoutS = 5
const functionMemoryMiB = 256

/** What an ARN of AWS IoT Core begins with. */
const iot = 'arn:${AWS::Partition}:iot:${AWS::Region}:${AWS::AccountId}'

function topics(type: 'topic' | 'topicfilter', doors: readonly string[]): Json {
  return doors.map((door) => sub(`${iot}:${type}/\${Root}/${door}/*`))
}

/** The outer fence: session policies only ever narrow it. No `iot:RetainPublish`. */
const fence = policy(
  { Effect: 'Allow', Action: 'iot:Connect', Resource: sub(`${iot}:client/\${Root}.*`) },
  { Effect: 'Allow', Action: 'iot:Publish', Resource: topics('topic', publishedDoors) },
  { Effect: 'Allow', Action: 'iot:Subscribe', Resource: topics('topicfilter', receivedDoors) },
  { Effect: 'Allow', Action: 'iot:Receive', Resource: topics('topic', receivedDoors) },
)

/** The bridge takes in what clients publish, by shared subscriptions, says what the log has, and hears who comes and goes. */
const bridgeFence = policy(
  { Effect: 'Allow', Action: 'iot:Connect', Resource: sub(`${iot}:client/svc.\${Root}.*`) },
  {
    Effect: 'Allow',
    Action: 'iot:Subscribe',
    Resource: [sub(`${iot}:topicfilter/$share/tidemark/\${Root}/*`), sub(`${iot}:topicfilter/$aws/events/*`)],
  },
  { Effect: 'Allow', Action: 'iot:Receive', Resource: [sub(`${iot}:topic/\${Root}/*`), sub(`${iot}:topic/$aws/events/*`)] },
  { Effect: 'Allow', Action: 'iot:Publish', Resource: topics('topic', bridgedDoors) },
)

const trustOfServer = trust({
  AWS: either('HasServerPrincipal', ref('ServerPrincipal'), sub('arn:${AWS::Partition}:iam::${AWS::AccountId}:root')),
})

const exchange: readonly JsonObject[] = [
  { Sid: 'Admit', Effect: 'Allow', Action: 'sts:AssumeRole', Resource: [arnOf('ClientRole'), arnOf('BridgeRole')] },
  { Sid: 'Revoke', Effect: 'Allow', Action: 'iot:DeleteConnection', Resource: sub(`${iot}:client/\${Root}.*`) },
]

const ingest: readonly JsonObject[] = [
  {
    Sid: 'Ingest',
    Effect: 'Allow',
    Action: ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:ChangeMessageVisibility'],
    Resource: arnOf('IngestQueue'),
  },
  { Sid: 'PutAside', Effect: 'Allow', Action: 'sqs:SendMessage', Resource: arnOf('DeadLetterQueue') },
]

export const clientAdmission: Readonly<Record<string, Resource>> = {
  ClientRole: {
    Type: 'AWS::IAM::Role',
    Metadata: { Purpose: 'assumed once for each client, always with a session policy that narrows it' },
    Properties: {
      RoleName: sub(clientRoleName),
      Description: sub('Clients of Tidemark below ${Root}/: the outer fence around their session policies'),
      MaxSessionDuration: sessionSecondsMax,
      AssumeRolePolicyDocument: trustOfServer,
      Policies: [{ PolicyName: 'fence', PolicyDocument: fence }],
    },
  },
  BridgeRole: {
    Type: 'AWS::IAM::Role',
    Metadata: { Purpose: 'assumed by the server for its own connections' },
    Properties: {
      RoleName: sub(bridgeRoleName),
      Description: sub('The bridge of Tidemark below ${Root}/: the outer fence around its session policies'),
      MaxSessionDuration: sessionSecondsMax,
      AssumeRolePolicyDocument: trustOfServer,
      Policies: [{ PolicyName: 'fence', PolicyDocument: bridgeFence }],
    },
  },
  ServerPolicy: {
    Type: 'AWS::IAM::ManagedPolicy',
    Metadata: { Purpose: 'what the server itself may do: attach it to the role that the server runs as' },
    Properties: {
      ManagedPolicyName: sub(serverPolicyName),
      Description: sub('What the Tidemark server of ${Root} may do'),
      PolicyDocument: policy(...exchange, ...ingest.map((statement) => either('HasQueue', statement) as JsonObject)),
    },
  },
}

export function authorizerAdmission(code: string): Readonly<Record<string, Resource>> {
  const Condition = 'HasAuthorizer'
  return {
    AuthorizerLogs: {
      Type: 'AWS::Logs::LogGroup',
      Condition,
      Metadata: { Purpose: 'what the authorizer says: refusals, and why' },
      Properties: { LogGroupName: sub(logGroupName), RetentionInDays: ref('LogRetentionDays') },
    },
    AuthorizerRole: {
      Type: 'AWS::IAM::Role',
      Condition,
      Metadata: { Purpose: 'lets the function write its log, and do nothing else' },
      Properties: {
        RoleName: sub(functionRoleName),
        Description: sub('The custom authorizer of ${Root}: its log only'),
        AssumeRolePolicyDocument: trust({ Service: 'lambda.amazonaws.com' }),
        Policies: [
          {
            PolicyName: 'log',
            PolicyDocument: policy({
              Effect: 'Allow',
              Action: ['logs:CreateLogStream', 'logs:PutLogEvents'],
              Resource: sub(`arn:\${AWS::Partition}:logs:\${AWS::Region}:\${AWS::AccountId}:log-group:${logGroupName}:*`),
            }),
          },
        ],
      },
    },
    AuthorizerFunction: {
      Type: 'AWS::Lambda::Function',
      Condition,
      // Otherwise Lambda makes the group, and keeps what is in it for ever.
      DependsOn: 'AuthorizerLogs',
      Metadata: { Purpose: 'judges broker tokens; it asks nobody' },
      Properties: {
        FunctionName: sub(functionName),
        Description: sub('The custom authorizer of Tidemark below ${Root}/'),
        Runtime: 'nodejs22.x',
        Architectures: ['arm64'],
        Handler: 'index.handler',
        MemorySize: functionMemoryMiB,
        Timeout: functionTimeoutS,
        Role: arnOf('AuthorizerRole'),
        Environment: {
          Variables: {
            IOT_ROOT: ref('Root'),
            IOT_ACCOUNT: ref('AWS::AccountId'),
            IOT_TOKEN_KEY: ref('TokenKeyName'),
            BROKER_ISSUER: ref('BrokerIssuer'),
            BROKER_AUDIENCE: ref('BrokerAudience'),
            BROKER_JWKS: ref('BrokerJwks'),
          },
        },
        Code: { ZipFile: code },
      },
    },
    Authorizer: {
      Type: 'AWS::IoT::Authorizer',
      Condition,
      Metadata: { Purpose: 'checks the signature of a token before the function is asked' },
      Properties: {
        AuthorizerName: sub(authorizerName),
        AuthorizerFunctionArn: arnOf('AuthorizerFunction'),
        Status: ref('AuthorizerStatus'),
        SigningDisabled: false,
        TokenKeyName: ref('TokenKeyName'),
        // The names tell nobody anything: AWS tries them all.
        TokenSigningPublicKeys: { first: ref('TokenSigningKey'), second: either('HasSecondKey', ref('SecondTokenSigningKey')) },
      },
    },
    AuthorizerPermission: {
      Type: 'AWS::Lambda::Permission',
      Condition,
      Metadata: { Purpose: 'lets this authorizer call the function, and nobody else' },
      Properties: {
        FunctionName: arnOf('AuthorizerFunction'),
        Action: 'lambda:InvokeFunction',
        Principal: 'iot.amazonaws.com',
        SourceArn: sub(`${iot}:authorizer/${authorizerName}`),
      },
    },
  }
}
