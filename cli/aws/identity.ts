/** Whose credentials these are, and what time AWS says it is. */
import { Trouble } from '../doctor/report.ts'
import type { Deployment } from './deployment.ts'
import { asked } from './refusals.ts'

export interface Identity {
  readonly account: string
  readonly arn: string
  /** How far AWS's clock is ahead of ours, to a second. */
  readonly aheadMs: number
}

/** Throws `Trouble` where AWS does not know the credentials. */
export async function identityOf({ region }: Deployment): Promise<Identity> {
  const { STSClient, GetCallerIdentityCommand } = await import('@aws-sdk/client-sts')
  const client = new STSClient({ region })
  let saidMs = Number.NaN
  client.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args)
      const { headers } = result.response as { readonly headers?: Readonly<Record<string, string>> }
      saidMs = Date.parse(headers?.['date'] ?? '') - Date.now()
      return result
    },
    { step: 'deserialize' },
  )
  try {
    const { Account: account, Arn: arn } = await asked('STS does not know these credentials', () =>
      client.send(new GetCallerIdentityCommand({})),
    )
    if (account === undefined || arn === undefined) throw new Trouble('STS answered without an account', 'try again')
    return { account, arn, aheadMs: Number.isNaN(saidMs) ? 0 : saidMs }
  } finally {
    client.destroy()
  }
}

/** Throws `Trouble` where they are those of another account: nothing is ever done to one that was not named. */
export function mustBeAccount({ account, arn }: Identity, deployment: Deployment): void {
  if (account === deployment.account) return
  throw new Trouble(
    `the credentials are those of account ${account} (${arn}), not of ${deployment.account}`,
    'use other credentials, or correct --account',
  )
}
