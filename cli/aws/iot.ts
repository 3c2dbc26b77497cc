/** What `tidemark aws` asks of AWS IoT Core's control plane. */
import type * as Sdk from '@aws-sdk/client-iot'
import { decodeJwt } from 'jose'
import { decodeName } from '../../protocol/names.ts'
import { Trouble } from '../doctor/report.ts'
import type { Deployment } from './deployment.ts'
import { asked } from './refusals.ts'

export type AuthorizerStatus = 'ACTIVE' | 'INACTIVE'

/** What the authorizer said to a token. */
export interface AuthorizerVerdict {
  readonly isAuthenticated: boolean
  readonly principalId: string | undefined
  readonly policies: number
  readonly disconnectAfterS: number | undefined
}

export class Iot {
  readonly #sdk: typeof Sdk
  readonly #client: Sdk.IoTClient

  static async open({ region }: Deployment): Promise<Iot> {
    return new Iot(await import('@aws-sdk/client-iot'), region)
  }

  private constructor(sdk: typeof Sdk, region: string) {
    this.#sdk = sdk
    this.#client = new sdk.IoTClient({ region })
  }

  /** The host that clients connect to. */
  async endpoint(): Promise<string | undefined> {
    const { endpointAddress } = await asked('the endpoint cannot be asked for', () =>
      this.#client.send(new this.#sdk.DescribeEndpointCommand({ endpointType: 'iot:Data-ATS' })),
    )
    return endpointAddress
  }

  /** Undefined where there is none of that name. */
  async authorizer(authorizerName: string): Promise<Sdk.AuthorizerDescription | undefined> {
    return await asked('the authorizer cannot be looked at', async () => {
      try {
        const { authorizerDescription } = await this.#client.send(new this.#sdk.DescribeAuthorizerCommand({ authorizerName }))
        return authorizerDescription
      } catch (error) {
        if (error instanceof this.#sdk.ResourceNotFoundException) return undefined
        throw error
      }
    })
  }

  async setStatus(authorizerName: string, status: AuthorizerStatus): Promise<void> {
    await asked('the authorizer cannot be changed', () =>
      this.#client.send(new this.#sdk.UpdateAuthorizerCommand({ authorizerName, status })),
    )
  }

  /** Shows it a broker token, as a client does. */
  async test(authorizerName: string, token: string): Promise<AuthorizerVerdict> {
    const last = token.lastIndexOf('.')
    const tokenSignature = Buffer.from(token.slice(last + 1), 'base64url').toString('base64')
    const answer = await asked('the authorizer cannot be tried', () =>
      this.#client.send(
        new this.#sdk.TestInvokeAuthorizerCommand({
          authorizerName,
          token: token.slice(0, last),
          tokenSignature,
          // The function finds the whole token in the password: whether AWS shows it the signature otherwise is not known.
          mqttContext: { clientId: clientIdOf(token), password: Buffer.from(token) },
        }),
      ),
    )
    return {
      isAuthenticated: answer.isAuthenticated === true,
      principalId: answer.principalId,
      policies: answer.policyDocuments?.length ?? 0,
      disconnectAfterS: answer.disconnectAfterInSeconds,
    }
  }

  close(): void {
    this.#client.destroy()
  }
}

/** The client that a broker token is bound to, as it is called in CONNECT. Throws `Trouble` where it is no such token. */
function clientIdOf(token: string): string {
  const { client_id: client } = claimsOf(token)
  const name = typeof client === 'string' ? decodeName(client) : undefined
  if (name === undefined) throw new Trouble('the token is bound to no client', 'take the access_token that POST /v1/token answers with')
  return name
}

function claimsOf(token: string): Readonly<Record<string, unknown>> {
  try {
    return decodeJwt(token)
  } catch (error) {
    throw new Trouble('the token is no JWT', 'take the access_token that POST /v1/token answers with', error)
  }
}
