/** `tidemark aws plan`: what `apply` would do. */
import { resolveTemplate, type ParameterValues, type Resolved } from '../../aws/account/resolve.ts'
import type { Template } from '../../aws/account/cloudformation.ts'
import { Trouble } from '../doctor/report.ts'
import { deploymentOf, parametersOf, type Deployment, type PlaceOptions, type TemplateOptions } from './deployment.ts'
import type { AuthorizerStatus } from './iot.ts'
import type { StackState } from './stack.ts'
import { templateOf } from './template.ts'
import { differenceText, wholeText } from './words.ts'

export type Write = (text: string) => void

export interface PlanOptions extends PlaceOptions, TemplateOptions {
  readonly compare?: boolean
}

/** Everything, for an account that has nothing of it, without asking AWS; with `compare` only what is different there. */
export async function plan(options: PlanOptions, write: Write): Promise<void> {
  const deployment = deploymentOf(options)
  const wanted = { template: await templateOf(), values: await parametersOf(deployment, options) }
  if (options.compare) {
    const { openAccount } = await import('./account.ts')
    const account = await openAccount(deployment)
    try {
      write(comparison(deployment, wanted, await account.found()).text)
    } finally {
      account.close()
    }
    return
  }
  write(`${headingOf(deployment)}AWS was not asked: this is everything, for an account that has nothing of it.\n\n`)
  write(wholeText(resolved(deployment, wanted)))
}

export interface Wanted {
  readonly template: Template
  readonly values: ParameterValues
}

/** What an account has. */
export interface Found {
  /** Undefined where there is no stack, or nothing in it. */
  readonly stack: (StackState & { readonly template: Template }) | undefined
  /** Of the authorizer; undefined where there is none. */
  readonly authorizerStatus: AuthorizerStatus | undefined
}

/** The parameters as they are applied: an authorizer that somebody disabled stays so. */
export function keptStatus(values: ParameterValues, { authorizerStatus }: Found): ParameterValues {
  return authorizerStatus === undefined ? values : { ...values, AuthorizerStatus: authorizerStatus }
}

export interface Comparison {
  readonly text: string
  readonly differs: boolean
}

/** Throws `Trouble` for a stack of the name that somebody else made. */
export function comparison(deployment: Deployment, wanted: Wanted, found: Found): Comparison {
  const heading = headingOf(deployment)
  const after = resolved(deployment, { ...wanted, values: keptStatus(wanted.values, found) })
  if (!found.stack) return { text: `${heading}The account has nothing of it.\n\n${wholeText(after)}`, differs: true }
  mustBeOurs(found.stack, deployment)
  const before = resolved(deployment, { template: found.stack.template, values: found.stack.parameters })
  const text = differenceText(before, after)
  return { text: `${heading}${text === '' ? 'Nothing to change.\n' : `Beside what is there:\n\n${text}`}`, differs: text !== '' }
}

/** Throws `Trouble` for a stack of the name that somebody else made. */
export function mustBeOurs({ isOurs }: StackState, { stackName, root }: Deployment): void {
  if (isOurs) return
  throw new Trouble(
    `there is a stack ${stackName} that this command did not make for ${root}`,
    'delete or rename it, or choose another root: nothing was done',
  )
}

export function resolved(deployment: Deployment, { template, values }: Wanted): Resolved {
  return resolveTemplate(template, values, deployment)
}

export function headingOf({ root, account, region, stackName }: Deployment): string {
  return `${root} in account ${account}, ${region}: stack ${stackName}\n`
}
