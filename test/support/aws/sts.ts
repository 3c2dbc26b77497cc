/**
 * A stand-in for STS: `AssumeRole` for the real client of the AWS SDK, with what AWS checks: signature, clock, region, trust,
 * the form of names and policies. What it gives out the stand-in of the device gateway knows.
 */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isAllowed, type IamContext, type IamDocument } from './iam.ts'
import { isSame, queryOf, signatureOf, timeOf } from './sigv4.ts'

export const region = 'eu-west-1'
export const account = '123456789012'

export interface Role {
  /** ARNs that may assume it. */
  readonly trust: readonly string[]
  readonly policies: readonly IamDocument[]
}

export interface Caller {
  readonly secret: string
  readonly arn: string
  readonly token?: string
  readonly expiresAtMs?: number
  /** What it may do beside assuming roles that trust it. */
  readonly policies?: readonly IamDocument[]
}

export interface Session {
  readonly accessKeyId: string
  readonly secret: string
  readonly token: string
  readonly name: string
  readonly expiresAtMs: number
  readonly rolePolicies: readonly IamDocument[]
  /** As it was sent. */
  readonly policyText: string | undefined
}

export interface StandInOptions {
  readonly roles: Readonly<Record<string, Role>>
  readonly callers: Readonly<Record<string, Caller>>
  /** The clock of AWS. */
  readonly now?: () => number
  /** Characters at the end of session tokens beyond the usual. */
  readonly tokenBytes?: number
}

const skewMs = 300_000

/** Role and session policy together, as AWS IoT Core asks them. */
export function mayDo(
  session: Pick<Session, 'rolePolicies' | 'policyText'>,
  action: string,
  resource: string,
  context: IamContext = {},
): boolean {
  const layers = [session.rolePolicies, ...(session.policyText === undefined ? [] : [[JSON.parse(session.policyText) as IamDocument]])]
  return isAllowed(layers, { action, resource, context })
}

export class StsStandIn {
  readonly sessions = new Map<string, Session>()
  /** Actions asked for, in order, also those refused. */
  readonly asked: string[] = []
  /** What the next requests are answered with instead, one each. */
  readonly failures: { readonly status: number; readonly code: string; readonly message?: string }[] = []
  readonly #options: StandInOptions
  readonly #server: Server

  static async start(options: StandInOptions): Promise<StsStandIn> {
    const sts = new StsStandIn(options)
    sts.#server.listen(0, '127.0.0.1')
    await once(sts.#server, 'listening')
    return sts
  }

  private constructor(options: StandInOptions) {
    this.#options = options
    this.#server = createServer((request, response) => {
      void this.#answer(request).then(({ status, body }) => {
        // The real one tells the time with every answer: clients correct their clocks by it.
        response.writeHead(status, { 'content-type': 'text/xml', date: new Date(this.now()).toUTCString() }).end(body)
      })
    })
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  now(): number {
    return (this.#options.now ?? Date.now)()
  }

  async close(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }

  async #answer(request: IncomingMessage): Promise<{ status: number; body: string }> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks)
    try {
      const form = new URLSearchParams(body.toString())
      this.asked.push(form.get('Action') ?? '')
      const failure = this.failures.shift()
      if (failure) throw new Refused(failure.code, failure.message ?? failure.code, failure.status)
      const caller = this.callerOf(request, body, 'sts')
      if (form.get('Action') !== 'AssumeRole') throw new Refused('InvalidAction', 'not offered here')
      return { status: 200, body: this.#assumeRole(form, caller) }
    } catch (error) {
      const { status, code, message } = error instanceof Refused ? error : new Refused('InternalFailure', String(error), 500)
      const text = `<Error><Type>Sender</Type><Code>${code}</Code><Message>${xml(message)}</Message></Error>`
      return { status, body: `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">${text}</ErrorResponse>` }
    }
  }

  /** Who has signed this request to a service of AWS. Throws why nobody has. */
  callerOf(request: IncomingMessage, body: Buffer, wantedService: string): Caller {
    const form = /^AWS4-HMAC-SHA256 Credential=([^/]+)\/([^,]+), ?SignedHeaders=([^,]+), ?Signature=(\w+)$/
    const [, accessKeyId = '', scope = '', signedHeaders = '', signature = ''] = form.exec(request.headers.authorization ?? '') ?? []
    if (signature === '') throw new Refused('MissingAuthenticationToken', 'Request is missing Authentication Token', 403)
    const caller = this.#options.callers[accessKeyId]
    const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]))
    if (!caller || (caller.token ?? '') !== (headers['x-amz-security-token'] ?? '')) {
      throw new Refused('InvalidClientTokenId', 'The security token included in the request is invalid.', 403)
    }
    if (caller.expiresAtMs !== undefined && caller.expiresAtMs <= this.now()) {
      throw new Refused('ExpiredToken', 'The security token included in the request is expired', 403)
    }
    const time = headers['x-amz-date'] ?? ''
    const [, signedRegion, service] = scope.split('/')
    if (signedRegion !== region || service !== wantedService) {
      throw new Refused('SignatureDoesNotMatch', `Credential should be scoped to a valid region. `, 403)
    }
    const [path = '', query = ''] = (request.url ?? '').split('?')
    const wanted = signatureOf(caller.secret, {
      method: String(request.method),
      // Encoded once more: only S3 does without.
      path: path.replaceAll('%', '%25'),
      query: queryOf(query),
      headers,
      signedHeaders,
      payload: body,
      time,
      scope,
    })
    if (!isSame(wanted, signature)) throw new Refused('SignatureDoesNotMatch', 'The request signature we calculated does not match', 403)
    if (!(Math.abs(timeOf(time) - this.now()) <= skewMs)) {
      throw new Refused('SignatureDoesNotMatch', `Signature expired: ${time} is now earlier than the time allowed (5 min.)`, 403)
    }
    return caller
  }

  #assumeRole(form: URLSearchParams, caller: Caller): string {
    const roleArn = form.get('RoleArn') ?? ''
    const name = form.get('RoleSessionName') ?? ''
    const seconds = Number(form.get('DurationSeconds') ?? 3600)
    const policyText = form.get('Policy') ?? undefined
    const invalid = (member: string): Refused =>
      new Refused('ValidationError', `1 validation error detected: Value at '${member}' failed to satisfy constraint`)
    if (!/^[\w+=,.@-]{2,64}$/.test(name)) throw invalid('roleSessionName')
    // A session that assumes a role gets an hour at most.
    if (!(seconds >= 900 && seconds <= (caller.token === undefined ? 43_200 : 3_600))) throw invalid('durationSeconds')
    if (policyText !== undefined) checkPolicy(policyText, invalid('policy'))
    const role = this.#options.roles[roleArn]
    if (!role?.trust.includes(caller.arn)) {
      throw new Refused('AccessDenied', `User: ${caller.arn} is not authorized to perform: sts:AssumeRole on resource: ${roleArn}`, 403)
    }
    const session: Session = {
      accessKeyId: `ASIA${randomBytes(8).toString('hex').toUpperCase()}`,
      secret: randomBytes(30).toString('base64'),
      // With every character that must be escaped in a URL.
      token: `IQoJ//+${randomBytes(330 + (this.#options.tokenBytes ?? 0)).toString('base64')}==`,
      name,
      expiresAtMs: this.now() + seconds * 1000,
      rolePolicies: role.policies,
      policyText,
    }
    this.sessions.set(session.accessKeyId, session)
    const id = `AROA${createHash('sha256').update(roleArn).digest('hex').slice(0, 17).toUpperCase()}:${name}`
    return `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>${session.accessKeyId}</AccessKeyId><SecretAccessKey>${xml(session.secret)}</SecretAccessKey><SessionToken>${xml(session.token)}</SessionToken><Expiration>${new Date(session.expiresAtMs).toISOString()}</Expiration></Credentials><AssumedRoleUser><AssumedRoleId>${id}</AssumedRoleId><Arn>arn:aws:sts::${account}:assumed-role/${roleArn.split('/').at(-1)}/${name}</Arn></AssumedRoleUser><PackedPolicySize>6</PackedPolicySize></AssumeRoleResult><ResponseMetadata><RequestId>00000000-0000-4000-8000-000000000000</RequestId></ResponseMetadata></AssumeRoleResponse>`
  }
}

function checkPolicy(text: string, invalid: Refused): void {
  if (text.length > 2048 || !/^[\t\n\r\u0020-\u00ff]+$/.test(text)) throw invalid
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    throw new Refused('MalformedPolicyDocument', 'This policy contains invalid Json')
  }
  const { Statement } = document as Partial<IamDocument>
  const statements = Array.isArray(Statement) ? (Statement as readonly unknown[]) : [Statement]
  for (const statement of statements as readonly Record<string, unknown>[]) {
    const isWhole =
      /^(?:Allow|Deny)$/.test(String(statement['Effect'])) && statement['Action'] !== undefined && statement['Resource'] !== undefined
    if (!isWhole) throw new Refused('MalformedPolicyDocument', 'Syntax errors in policy.')
  }
}

class Refused extends Error {
  readonly code: string
  readonly status: number

  constructor(code: string, message: string, status = 400) {
    super(message)
    this.code = code
    this.status = status
  }
}

function xml(text: string): string {
  return text.replace(/[<>&"]/g, (character) => `&#${character.charCodeAt(0)};`)
}
