/** The stack of CloudFormation that holds everything of one deployment. */
import type * as Sdk from '@aws-sdk/client-cloudformation'
import { setTimeout as pause } from 'node:timers/promises'
import type { Template } from '../../aws/account/cloudformation.ts'
import { stackTag } from '../../aws/account/names.ts'
import type { ParameterValues } from '../../aws/account/resolve.ts'
import { Trouble } from '../doctor/report.ts'
import type { Deployment } from './deployment.ts'
import { asked } from './refusals.ts'

/** CloudFormation tells nobody when it is done: it is asked, first soon and then more seldom. */
const pollMsMin = 100
const pollMsMax = 5_000
/** AWS is left to go on by itself after so long. */
const followMsMax = 1_800_000
/** What was begun is shown after so long, if ever. */
const beginMsMax = 30_000
/** CloudFormation takes no longer template by itself. */
const templateBytesMax = 51_200
const eventPagesMax = 20

export interface StackState {
  readonly id: string
  readonly status: string
  readonly reason: string | undefined
  readonly parameters: ParameterValues
  readonly outputs: ParameterValues
  /** Whether `tidemark aws apply` made it for this root. */
  readonly isOurs: boolean
}

/** One thing that CloudFormation did. */
export interface StackEvent {
  readonly resource: string
  readonly type: string
  readonly status: string
  readonly reason: string | undefined
}

export class Stack {
  readonly #sdk: typeof Sdk
  readonly #client: Sdk.CloudFormationClient
  readonly #deployment: Deployment

  static async open(deployment: Deployment): Promise<Stack> {
    return new Stack(await import('@aws-sdk/client-cloudformation'), deployment)
  }

  private constructor(sdk: typeof Sdk, deployment: Deployment) {
    this.#sdk = sdk
    this.#client = new sdk.CloudFormationClient({ region: deployment.region })
    this.#deployment = deployment
  }

  /** Undefined where there is none, nor one that is being deleted. `id` also finds one that is gone. */
  async look(id = this.#deployment.stackName): Promise<StackState | undefined> {
    const found = await asked('the stack cannot be looked at', async () => {
      const { Stacks } = await this.#client.send(new this.#sdk.DescribeStacksCommand({ StackName: id }))
      return Stacks?.[0]
    }).catch((error: unknown) => {
      if (error instanceof Error && /does not exist/.test(error.message)) return undefined
      throw error
    })
    return found && this.#stateOf(found)
  }

  /** As it was given when the stack was made or last changed. */
  async template(): Promise<Template> {
    return await asked('the template of the stack cannot be read', async () => {
      const StackName = this.#deployment.stackName
      const { TemplateBody = '' } = await this.#client.send(new this.#sdk.GetTemplateCommand({ StackName, TemplateStage: 'Original' }))
      return JSON.parse(TemplateBody) as Template
    })
  }

  async create(template: Template, values: ParameterValues): Promise<void> {
    const body = bodyOf(template)
    await asked('the stack cannot be made', () =>
      this.#client.send(
        new this.#sdk.CreateStackCommand({
          StackName: this.#deployment.stackName,
          TemplateBody: body,
          Parameters: parametersOf(values),
          Capabilities: ['CAPABILITY_NAMED_IAM'],
          Tags: [{ Key: stackTag, Value: this.#deployment.root }],
        }),
      ),
    )
  }

  /** Resolves with false where there was nothing to change. Without a template the stack keeps its own. */
  async update(template: Template | undefined, values: ParameterValues): Promise<boolean> {
    const body = template && bodyOf(template)
    try {
      await asked('the stack cannot be changed', () =>
        this.#client.send(
          new this.#sdk.UpdateStackCommand({
            StackName: this.#deployment.stackName,
            ...(body === undefined ? { UsePreviousTemplate: true } : { TemplateBody: body }),
            Parameters: parametersOf(values),
            Capabilities: ['CAPABILITY_NAMED_IAM'],
            Tags: [{ Key: stackTag, Value: this.#deployment.root }],
          }),
        ),
      )
      return true
    } catch (error) {
      if (error instanceof Error && /No updates are to be performed/.test(error.message)) return false
      throw error
    }
  }

  async continueRollback(): Promise<void> {
    const StackName = this.#deployment.stackName
    await asked('the stack cannot go on', () => this.#client.send(new this.#sdk.ContinueUpdateRollbackCommand({ StackName })))
  }

  async remove(): Promise<void> {
    const StackName = this.#deployment.stackName
    await asked('the stack cannot be deleted', () => this.#client.send(new this.#sdk.DeleteStackCommand({ StackName })))
  }

  /** What happened so far, the oldest first; to be given to `follow`, which tells what comes after. */
  async pastEvents(id: string): Promise<Set<string>> {
    return new Set((await this.#events(id, new Set())).map(({ eventId }) => eventId))
  }

  /**
   * Resolves when AWS rests, with the state; undefined where the stack is not there any more. Something that was just begun is
   * waited for. Throws `Trouble` after half an hour.
   */
  async follow(
    id: string,
    past: Set<string>,
    tell: (event: StackEvent) => void,
    begun: 'now' | 'before' = 'now',
  ): Promise<StackState | undefined> {
    const beganMs = performance.now()
    let hasBegun = begun === 'before'
    for (let pauseMs = pollMsMin; ; pauseMs = Math.min(pauseMs * 1.5, pollMsMax)) {
      const state = await this.look(id)
      if (!state) return undefined
      for (const { eventId, ...event } of await this.#events(id, past)) {
        past.add(eventId)
        hasBegun = true
        tell(event)
      }
      const elapsedMs = performance.now() - beganMs
      // What AWS was asked a moment ago it may not show yet.
      if (!isBusy(state) && (hasBegun || elapsedMs > beginMsMax)) return state
      if (elapsedMs > followMsMax) {
        throw new Trouble('AWS has been at it for half an hour', 'it goes on by itself: the same command follows it again')
      }
      await pause(pauseMs)
    }
  }

  close(): void {
    this.#client.destroy()
  }

  /** The oldest first. */
  async #events(id: string, past: ReadonlySet<string>): Promise<(StackEvent & { readonly eventId: string })[]> {
    const events: (StackEvent & { readonly eventId: string })[] = []
    let token: string | undefined
    for (let page = 0; page < eventPagesMax; page++) {
      const NextToken = token
      const { StackEvents = [], NextToken: next } = await asked('what the stack does cannot be read', () =>
        this.#client.send(new this.#sdk.DescribeStackEventsCommand({ StackName: id, NextToken })),
      )
      for (const { EventId, LogicalResourceId, ResourceType, ResourceStatus, ResourceStatusReason } of StackEvents) {
        if (EventId === undefined || past.has(EventId)) return events.toReversed()
        events.push({
          eventId: EventId,
          resource: LogicalResourceId ?? '',
          type: ResourceType ?? '',
          status: ResourceStatus ?? '',
          reason: ResourceStatusReason,
        })
      }
      if (next === undefined) break
      token = next
    }
    return events.toReversed()
  }

  #stateOf({ StackId, StackStatus, StackStatusReason, Parameters = [], Outputs = [], Tags = [] }: Sdk.Stack): StackState {
    return {
      id: StackId ?? this.#deployment.stackName,
      status: StackStatus ?? '',
      reason: StackStatusReason,
      parameters: Object.fromEntries(Parameters.map(({ ParameterKey, ParameterValue }) => [ParameterKey ?? '', ParameterValue ?? ''])),
      outputs: Object.fromEntries(Outputs.map(({ OutputKey, OutputValue }) => [OutputKey ?? '', OutputValue ?? ''])),
      isOurs: Tags.some(({ Key, Value }) => Key === stackTag && Value === this.#deployment.root),
    }
  }
}

/** Whether AWS is at work on it. */
export function isBusy({ status }: StackState): boolean {
  return status.endsWith('_IN_PROGRESS') && status !== 'REVIEW_IN_PROGRESS'
}

/** Whether it was never made: nothing of it is left but its name. */
export function isEmpty({ status }: StackState): boolean {
  return ['ROLLBACK_COMPLETE', 'ROLLBACK_FAILED', 'CREATE_FAILED', 'REVIEW_IN_PROGRESS', 'DELETE_COMPLETE'].includes(status)
}

function parametersOf(values: ParameterValues): Sdk.Parameter[] {
  return Object.entries(values).map(([ParameterKey, ParameterValue]) => ({ ParameterKey, ParameterValue }))
}

function bodyOf(template: Template): string {
  const body = JSON.stringify(template)
  const bytes = Buffer.byteLength(body)
  if (bytes > templateBytesMax) throw new Error(`the template has ${bytes} bytes, at most ${templateBytesMax}`)
  return body
}
