/**
 * A stand-in for the control plane: CloudFormation's stacks, resource by resource, with failures where they are wanted; who
 * one is to STS; the authorizers of AWS IoT Core. It checks no signatures and makes nothing.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Template } from '../../../aws/account/cloudformation.ts'
import { resolveTemplate } from '../../../aws/account/resolve.ts'
import { account, region } from './sts.ts'

export interface StandInAuthorizer {
  status: 'ACTIVE' | 'INACTIVE'
  signingDisabled: boolean
  tokenSigningPublicKeys: Readonly<Record<string, string>>
}

const stepsPerLook = 20

interface StandInStack {
  readonly name: string
  readonly id: string
  status: string
  body: string
  parameters: Readonly<Record<string, string>>
  tags: Readonly<Record<string, string>>
  resources: string[]
  readonly events: {
    readonly id: string
    readonly resource: string
    readonly type: string
    readonly status: string
    readonly reason?: string
  }[]
  /** What comes next, some of it with each look at the stack. */
  pending: (() => void)[]
}

interface Body {
  readonly Resources: Readonly<Record<string, { readonly Type: string }>>
}

export class ControlPlane {
  /** Whose credentials these are. */
  account = account
  arn = `arn:aws:iam::${account}:user/admin`
  /** How far its clock is ahead. */
  aheadMs = 0
  endpoint: string | undefined = `a1b2c3-ats.iot.${region}.amazonaws.com`
  /** Resources that fail, and why; each once. */
  readonly failing = new Map<string, string>()
  /** Answers to the next requests for an action, in place of what it would do. */
  readonly refusals: { readonly action: string; readonly status: number; readonly code: string; readonly message: string }[] = []
  /** At so many looks nothing goes on. */
  idleLooks = 0
  readonly asked: string[] = []
  readonly stacks: StandInStack[] = []
  readonly authorizers = new Map<string, StandInAuthorizer>()
  /** What an authorizer says to a token. */
  verdict: Readonly<Record<string, unknown>> = {
    isAuthenticated: true,
    principalId: 'p',
    policyDocuments: ['{}'],
    disconnectAfterInSeconds: 3600,
  }
  /** The last request of TestInvokeAuthorizer. */
  shown: Readonly<Record<string, unknown>> | undefined
  readonly #server: Server

  static async start(): Promise<ControlPlane> {
    const plane = new ControlPlane()
    plane.#server.listen(0, '127.0.0.1')
    await once(plane.#server, 'listening')
    return plane
  }

  private constructor() {
    this.#server = createServer((request, response) => {
      void this.#answer(request).then(({ status, type, body }) => {
        response.writeHead(status, { 'content-type': type, date: new Date(Date.now() + this.aheadMs).toUTCString() }).end(body)
      })
    })
  }

  /** What the SDK is led by to this. */
  get env(): Record<string, string> {
    return {
      AWS_ENDPOINT_URL: `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`,
      AWS_ACCESS_KEY_ID: 'AKIASTANDIN',
      AWS_SECRET_ACCESS_KEY: 'secret',
      AWS_EC2_METADATA_DISABLED: 'true',
      // It warns of Node 20 once in a process, on stderr.
      AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
    }
  }

  /** The one of that name that is not gone. */
  stack(name: string): StandInStack | undefined {
    return this.stacks.find((each) => (each.name === name && each.status !== 'DELETE_COMPLETE') || each.id === name)
  }

  /** Of what was asked, what changes something. */
  get changes(): string[] {
    return this.asked.filter((action) => /^(?:Create|Update|Delete|Continue)/.test(action))
  }

  async close(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString()
    const { pathname } = new URL(request.url ?? '/', 'http://x')
    return pathname === '/' ? this.#query(new URLSearchParams(text)) : this.#rest(`${request.method}`, pathname, text)
  }

  #query(form: URLSearchParams): Answer {
    const action = form.get('Action') ?? ''
    this.asked.push(action)
    const refusal = this.#refusal(action)
    if (refusal) return xmlError(refusal.status, refusal.code, refusal.message)
    try {
      return xml(200, `<${action}Response><${action}Result>${this.#do(action, form)}</${action}Result></${action}Response>`)
    } catch (error) {
      return xmlError(
        400,
        error instanceof Exists ? 'AlreadyExistsException' : 'ValidationError',
        error instanceof Error ? error.message : String(error),
      )
    }
  }

  #refusal(action: string): (typeof this.refusals)[number] | undefined {
    const at = this.refusals.findIndex((refusal) => refusal.action === action)
    return at < 0 ? undefined : this.refusals.splice(at, 1)[0]
  }

  #do(action: string, form: URLSearchParams): string {
    const name = form.get('StackName') ?? ''
    switch (action) {
      case 'GetCallerIdentity':
        return `<Account>${this.account}</Account><Arn>${this.arn}</Arn><UserId>u</UserId>`
      case 'AssumeRole': {
        if (!form.get('Policy')) throw new Error('a role is assumed without a session policy')
        const expires = new Date(Date.now() + 900_000).toISOString()
        return `<Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>${expires}</Expiration></Credentials>`
      }
      case 'CreateStack':
        return this.#create(name, form)
      case 'UpdateStack':
        return this.#update(this.#need(name), form)
      case 'DeleteStack':
        return this.#delete(this.stack(name))
      case 'ContinueUpdateRollback':
        this.#run(this.#need(name), [], 'UPDATE_ROLLBACK')
        return ''
      case 'DescribeStacks': {
        const found = this.#need(name)
        if (this.idleLooks > 0) this.idleLooks--
        else for (let count = stepsPerLook; count > 0; count--) found.pending.shift()?.()
        return `<Stacks><member>${described(found)}</member></Stacks>`
      }
      case 'DescribeStackEvents': {
        const found = this.#need(name)
        const members = found.events.map(
          ({ id, resource, type, status, reason }) =>
            `<member><StackId>${found.id}</StackId><StackName>${found.name}</StackName><EventId>${id}</EventId><Timestamp>2026-01-01T00:00:00Z</Timestamp><LogicalResourceId>${resource}</LogicalResourceId><ResourceType>${type}</ResourceType><ResourceStatus>${status}</ResourceStatus>${reason === undefined ? '' : `<ResourceStatusReason>${reason}</ResourceStatusReason>`}</member>`,
        )
        return `<StackEvents>${members.toReversed().join('')}</StackEvents>`
      }
      case 'GetTemplate':
        return `<TemplateBody>${escaped(this.#need(name).body)}</TemplateBody>`
      default:
        throw new Error(`${action} is not offered here`)
    }
  }

  #create(name: string, form: URLSearchParams): string {
    if (this.stack(name)) throw new Exists(`Stack [${name}] already exists`)
    const id = `arn:aws:cloudformation:${region}:${account}:stack/${name}/${randomUUID()}`
    const stack: StandInStack = { name, id, status: '', body: '', parameters: {}, tags: {}, resources: [], events: [], pending: [] }
    this.stacks.push(stack)
    this.#take(stack, form)
    this.#run(stack, Object.keys((JSON.parse(stack.body) as Body).Resources), 'CREATE')
    return `<StackId>${id}</StackId>`
  }

  #update(stack: StandInStack, form: URLSearchParams): string {
    if (!/^(?:CREATE|UPDATE|UPDATE_ROLLBACK)_COMPLETE$/.test(stack.status))
      throw new Error(`Stack:${stack.id} is in ${stack.status} state and can not be updated.`)
    const before = JSON.stringify([stack.body, stack.parameters])
    this.#take(stack, form)
    if (JSON.stringify([stack.body, stack.parameters]) === before) throw new Error('No updates are to be performed.')
    this.#run(stack, Object.keys((JSON.parse(stack.body) as Body).Resources), 'UPDATE')
    return `<StackId>${stack.id}</StackId>`
  }

  #delete(stack: StandInStack | undefined): string {
    if (stack) this.#run(stack, [...stack.resources], 'DELETE')
    return ''
  }

  #take(stack: StandInStack, form: URLSearchParams): void {
    const pairs = (kind: string, key: string, value: string): Record<string, string> => {
      const found: Record<string, string> = {}
      for (let at = 1; form.has(`${kind}.member.${at}.${key}`); at++)
        found[form.get(`${kind}.member.${at}.${key}`) ?? ''] = form.get(`${kind}.member.${at}.${value}`) ?? ''
      return found
    }
    if (form.get('UsePreviousTemplate') !== 'true') stack.body = form.get('TemplateBody') ?? ''
    stack.parameters = pairs('Parameters', 'ParameterKey', 'ParameterValue')
    stack.tags = pairs('Tags', 'Key', 'Value')
  }

  /** The resources one by one, then the end; a failure takes everything back. */
  #run(stack: StandInStack, resources: readonly string[], kind: 'CREATE' | 'UPDATE' | 'DELETE' | 'UPDATE_ROLLBACK'): void {
    const { Resources } = JSON.parse(stack.body) as Body
    const event = (resource: string, status: string, reason?: string): void => {
      const type = Resources[resource]?.Type ?? 'AWS::CloudFormation::Stack'
      stack.events.push({ id: randomUUID(), resource, type, status, ...(reason === undefined ? {} : { reason }) })
    }
    const become = (status: string): void => {
      stack.status = status
      event(stack.name, status)
    }
    become(`${kind}_IN_PROGRESS`)
    const steps = resources.map((resource) => () => {
      const reason = this.failing.get(resource)
      if (reason === undefined) {
        event(resource, `${kind}_COMPLETE`)
        if (kind === 'DELETE') stack.resources = stack.resources.filter((each) => each !== resource)
        else if (!stack.resources.includes(resource)) stack.resources.push(resource)
        return
      }
      this.failing.delete(resource)
      event(resource, `${kind}_FAILED`, reason)
      stack.pending = [
        () => become(kind === 'CREATE' ? 'ROLLBACK_COMPLETE' : kind === 'UPDATE' ? 'UPDATE_ROLLBACK_FAILED' : 'DELETE_FAILED'),
      ]
    })
    stack.pending = [...steps, () => become(`${kind}_COMPLETE`)]
  }

  #need(name: string): StandInStack {
    const found = this.stack(name)
    if (!found) throw new Error(`Stack with id ${name} does not exist`)
    return found
  }

  #rest(method: string, path: string, text: string): Answer {
    const [, kind = '', name = '', what] = path.split('/')
    const action =
      kind === 'endpoint'
        ? 'DescribeEndpoint'
        : ({ GET: 'DescribeAuthorizer', PUT: 'UpdateAuthorizer', POST: `TestInvokeAuthorizer` }[method] ?? method)
    this.asked.push(action)
    const refusal = this.#refusal(action)
    if (refusal) return jsonError(refusal.status, refusal.code, refusal.message)
    if (kind === 'endpoint') return json({ endpointAddress: this.endpoint })
    const authorizer = this.authorizers.get(name)
    if (kind !== 'authorizer' || !authorizer) return jsonError(404, 'ResourceNotFoundException', `there is no ${kind} ${name}`)
    const given = (text === '' ? {} : JSON.parse(text)) as Readonly<Record<string, unknown>>
    if (what === 'test') {
      this.shown = given
      return json(this.verdict)
    }
    if (method === 'PUT') Object.assign(authorizer, given)
    return json({ authorizerName: name, authorizerDescription: { authorizerName: name, tokenKeyName: 'token', ...authorizer } })
  }
}

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string
}

class Exists extends Error {}

function described({ name, id, status, parameters, tags, body }: StandInStack): string {
  const list = (kind: string, member: (pair: [string, string]) => string, pairs: Readonly<Record<string, string>>): string =>
    `<${kind}>${Object.entries(pairs)
      .map((pair) => `<member>${member(pair)}</member>`)
      .join('')}</${kind}>`
  const resolved = resolveTemplate(JSON.parse(body) as Template, parameters, { region, account, partition: 'aws' })
  const outputs = Object.fromEntries([...resolved.outputs].map(([key, value]) => [key, value as string]))
  return [
    `<StackName>${name}</StackName><StackId>${id}</StackId><CreationTime>2026-01-01T00:00:00Z</CreationTime><StackStatus>${status}</StackStatus>`,
    list(
      'Parameters',
      ([key, value]) => `<ParameterKey>${key}</ParameterKey><ParameterValue>${escaped(value)}</ParameterValue>`,
      parameters,
    ),
    list('Outputs', ([key, value]) => `<OutputKey>${key}</OutputKey><OutputValue>${escaped(value)}</OutputValue>`, outputs),
    list('Tags', ([key, value]) => `<Key>${key}</Key><Value>${value}</Value>`, tags),
  ].join('')
}

function xml(status: number, body: string): Answer {
  return { status, type: 'text/xml', body }
}

function xmlError(status: number, code: string, message: string): Answer {
  return xml(
    status,
    `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code><Message>${escaped(message)}</Message></Error></ErrorResponse>`,
  )
}

function json(body: object): Answer {
  return { status: 200, type: 'application/json', body: JSON.stringify(body) }
}

function jsonError(status: number, code: string, message: string): Answer {
  return { status, type: 'application/json', body: JSON.stringify({ __type: code, code, message }) }
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
