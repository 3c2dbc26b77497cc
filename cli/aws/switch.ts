/** `tidemark aws enable` and `disable`: the custom authorizer, at once and without the stack. */
import { Trouble } from '../doctor/report.ts'
import { openAccount } from './account.ts'
import { authorizerNameOf, deploymentOf, type PlaceOptions } from './deployment.ts'
import type { AuthorizerStatus } from './iot.ts'
import type { Write } from './plan.ts'

/** Throws `Trouble` where there is none. What is so already stays so. */
export async function switchAuthorizer(options: PlaceOptions, status: AuthorizerStatus, write: Write): Promise<void> {
  const deployment = deploymentOf(options)
  const name = authorizerNameOf(deployment)
  const account = await openAccount(deployment)
  try {
    const found = await account.iot.authorizer(name)
    if (!found) throw new Trouble(`there is no authorizer ${name}`, 'make one: `tidemark aws apply` with --jwks and --issuer')
    if (found.status !== status) await account.iot.setStatus(name, status)
    write(`${name} ${found.status === status ? 'was' : 'is'} ${status}${found.status === status ? ' already' : ''}.\n`)
  } finally {
    account.close()
  }
}
