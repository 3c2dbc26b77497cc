/** One deployment in an account, opened with credentials that are those of that account. */
import { authorizerNameOf, type Deployment } from './deployment.ts'
import { identityOf, mustBeAccount, type Identity } from './identity.ts'
import { Iot } from './iot.ts'
import type { Found } from './plan.ts'
import { isEmpty, Stack } from './stack.ts'

export interface Account {
  readonly identity: Identity
  readonly stack: Stack
  readonly iot: Iot
  found(): Promise<Found>
  close(): void
}

/** Throws `Trouble` where AWS does not know the credentials, or they are those of another account. */
export async function openAccount(deployment: Deployment): Promise<Account> {
  const identity = await identityOf(deployment)
  mustBeAccount(identity, deployment)
  const stack = await Stack.open(deployment)
  const iot = await Iot.open(deployment)
  return {
    identity,
    stack,
    iot,
    async found() {
      const state = await stack.look()
      if (!state || isEmpty(state)) return { stack: undefined, authorizerStatus: undefined }
      const authorizer = hasAuthorizer(state.parameters) ? await iot.authorizer(authorizerNameOf(deployment)) : undefined
      const authorizerStatus = authorizer && (authorizer.status === 'INACTIVE' ? 'INACTIVE' : 'ACTIVE')
      return { stack: { ...state, template: await stack.template() }, authorizerStatus }
    },
    close() {
      stack.close()
      iot.close()
    },
  }
}

export function hasAuthorizer(parameters: Readonly<Record<string, string>>): boolean {
  return (parameters['TokenSigningKey'] ?? '') !== ''
}
