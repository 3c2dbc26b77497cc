/** `tidemark aws apply`, `keys` and `destroy`: changes of the account, each step told as it is done. */
import type { ParameterValues } from '../../aws/account/resolve.ts'
import { Trouble } from '../doctor/report.ts'
import { openAccount, hasAuthorizer, type Account } from './account.ts'
import { authorizerNameOf, deploymentOf, parametersOf, type Deployment, type PlaceOptions, type TemplateOptions } from './deployment.ts'
import { keyParameters, kidsOf } from './keys.ts'
import { comparison, headingOf, keptStatus, mustBeOurs, resolved, type Wanted, type Write } from './plan.ts'
import { isBusy, isEmpty, type StackEvent, type StackState } from './stack.ts'
import { templateOf } from './template.ts'
import { removalText } from './words.ts'

export interface ApplyOptions extends PlaceOptions, TemplateOptions {
  readonly yes?: boolean
}

/** Makes the account what `plan` says. May be run again, also after it was ended or failed in the middle. */
export async function apply(options: ApplyOptions, write: Write): Promise<void> {
  const deployment = deploymentOf(options)
  const wanted = { template: await templateOf(), values: await parametersOf(deployment, options) }
  await within(deployment, async (account) => {
    const steps = new Steps(account, write)
    if (options.yes) await steps.rest()
    const found = await account.found()
    const { text, differs } = comparison(deployment, wanted, found)
    write(text)
    if (!options.yes) throw notYet('apply')
    const values = keptStatus(wanted.values, found)
    const state = await steps.rollBack(await account.stack.look(), deployment)
    const isDone = state !== undefined && !differs
    const change = { ...wanted, values }
    const after = isDone ? state : state ? await steps.change(state, change) : await steps.create(deployment, change)
    write(`\nDone. ${settingsOf(deployment, after, await account.iot.endpoint())}`)
  })
}

export interface KeysOptions extends PlaceOptions {
  readonly jwks: string
  readonly yes?: boolean
}

/** Gives the authorizer and its function the keys that the server has now; nothing else of the stack changes. */
export async function changeKeys(options: KeysOptions, write: Write): Promise<void> {
  const deployment = deploymentOf(options)
  const keys = await keyParameters(options.jwks)
  await within(deployment, async (account) => {
    const steps = new Steps(account, write)
    if (options.yes) await steps.rest()
    const found = await account.found()
    if (!found.stack || !hasAuthorizer(found.stack.parameters))
      throw new Trouble('there is no authorizer', 'make one: `tidemark aws apply` with --jwks and --issuer')
    mustBeOurs(found.stack, deployment)
    const [before, after] = [kidsOf(found.stack.parameters['BrokerJwks'] ?? ''), kidsOf(keys.BrokerJwks)]
    for (const kid of after) write(`${before.includes(kid) ? ' ' : '+'} key ${kid}\n`)
    for (const kid of before.filter((each) => !after.includes(each))) write(`- key ${kid}\n`)
    if (!options.yes) throw notYet('keys')
    const values = keptStatus({ ...found.stack.parameters, ...keys }, found)
    const state = (await steps.rollBack(found.stack, deployment)) as StackState
    await steps.change(state, { template: undefined, values })
    write('\nDone.\n')
  })
}

/** Deletes the stack, and with it what it made, and nothing else. May be run again. */
export async function destroy(options: PlaceOptions & { readonly yes?: boolean }, write: Write): Promise<void> {
  const deployment = deploymentOf(options)
  await within(deployment, async (account) => {
    const state = await account.stack.look()
    if (!state) return write(`${headingOf(deployment)}There is nothing of it.\n`)
    mustBeOurs(state, deployment)
    const values = state.parameters
    write(`${headingOf(deployment)}\n${removalText(resolved(deployment, { template: await account.stack.template(), values }))}\n`)
    if (values['Ingest'] === 'sqs') write('What is still in the queues is lost.\n')
    if (!options.yes) throw notYet('destroy')
    const steps = new Steps(account, write)
    await steps.rest()
    await steps.remove(state, deployment)
    write('\nDone.\n')
  })
}

async function within(deployment: Deployment, work: (account: Account) => Promise<void>): Promise<void> {
  const account = await openAccount(deployment)
  try {
    await work(account)
  } finally {
    account.close()
  }
}

function notYet(command: string): Trouble {
  return new Trouble('nothing was done', `\`tidemark aws ${command} … --yes\` does it`)
}

class Steps {
  readonly #account: Account
  readonly #write: Write

  constructor(account: Account, write: Write) {
    this.#account = account
    this.#write = write
  }

  /** Waits where AWS is still at what was begun before. */
  async rest(): Promise<void> {
    const state = await this.#account.stack.look()
    if (!state || !isBusy(state)) return
    this.#write(`AWS is still at what was begun before (${state.status}):\n`)
    await this.#account.stack.follow(state.id, await this.#account.stack.pastEvents(state.id), (event) => this.#tell(event), 'before')
  }

  /** What is left of a failure is cleared away; resolves with the stack that can be changed, if there is one. */
  async rollBack(state: StackState | undefined, deployment: Deployment): Promise<StackState | undefined> {
    if (!state) return undefined
    mustBeOurs(state, deployment)
    if (isEmpty(state)) {
      this.#write(`\nWhat is left of an attempt that failed (${state.status}) goes first:\n`)
      await this.#removeStack(state)
      return undefined
    }
    if (state.status === 'DELETE_FAILED') throw new Trouble('the stack was half destroyed', 'destroy it: `tidemark aws destroy … --yes`')
    if (state.status !== 'UPDATE_ROLLBACK_FAILED') return state
    this.#write('\nA change that failed is taken back first:\n')
    const past = await this.#account.stack.pastEvents(state.id)
    await this.#account.stack.continueRollback()
    return succeeded(await this.#follow(state.id, past), 'UPDATE_ROLLBACK_COMPLETE')
  }

  async create(deployment: Deployment, { template, values }: Wanted): Promise<StackState> {
    this.#write('\n')
    await this.#account.stack.create(template, values)
    return succeeded(await this.#follow(deployment.stackName, new Set()), 'CREATE_COMPLETE')
  }

  async change(
    state: StackState,
    { template, values }: { template: Wanted['template'] | undefined; values: ParameterValues },
  ): Promise<StackState> {
    this.#write('\n')
    const past = await this.#account.stack.pastEvents(state.id)
    if (!(await this.#account.stack.update(template, values))) return state
    return succeeded(await this.#follow(state.id, past), 'UPDATE_COMPLETE')
  }

  async remove(state: StackState, deployment: Deployment): Promise<void> {
    const name = authorizerNameOf(deployment)
    const authorizer = hasAuthorizer(state.parameters) ? await this.#account.iot.authorizer(name) : undefined
    // AWS deletes no authorizer that is active.
    if (authorizer?.status === 'ACTIVE') {
      await this.#account.iot.setStatus(name, 'INACTIVE')
      this.#tell({ resource: name, type: 'AWS::IoT::Authorizer', status: 'INACTIVE', reason: undefined })
    }
    await this.#removeStack(state)
  }

  async #removeStack({ id }: StackState): Promise<void> {
    const past = await this.#account.stack.pastEvents(id)
    await this.#account.stack.remove()
    const state = await this.#follow(id, past)
    if (state && state.status !== 'DELETE_COMPLETE') throw failed(state)
  }

  async #follow(id: string, past: Set<string>): Promise<StackState | undefined> {
    return await this.#account.stack.follow(id, past, (event) => this.#tell(event))
  }

  #tell({ type, resource, status, reason }: StackEvent): void {
    this.#write(`  ${status.padEnd(18)}  ${type}  ${resource}${reason === undefined ? '' : `: ${reason}`}\n`)
  }
}

function succeeded(state: StackState | undefined, status: string): StackState {
  if (state?.status === status) return state
  throw failed(state)
}

function failed(state: StackState | undefined): Trouble {
  const what = state ? `the stack ended as ${state.status}${state.reason === undefined ? '' : `: ${state.reason}`}` : 'the stack is gone'
  return new Trouble(what, 'the steps above say which resource failed and why; mend that and run the same command again')
}

/** What is left to do by hand, and the server's configuration as far as AWS goes. */
function settingsOf({ root, region, account }: Deployment, { outputs }: StackState, endpoint: string | undefined): string {
  const roles = { roleArn: outputs['ClientRoleArn'], bridgeRoleArn: outputs['BridgeRoleArn'] }
  const queueUrl = outputs['IngestQueueUrl']
  const queues = queueUrl === undefined ? {} : { ingest: 'sqs', queueUrl, deadLetterQueueUrl: outputs['DeadLetterQueueUrl'] }
  const settings = { engine: 'aws-iot', awsIot: { root, region, account, endpoint, ...roles, ...queues } }
  const policy = `Attach ${outputs['ServerPolicyArn']} to what the server runs as.\n`
  const authorizer = outputs['AuthorizerName']
  const instead = authorizer === undefined ? '' : `For the custom authorizer "authorizer": "${authorizer}" stands in place of roleArn.\n`
  return `${policy}The configuration of the server:\n\n${JSON.stringify(settings, undefined, 2)}\n\n${instead}`
}
