/** `tidemark aws …`: what a deployment over AWS IoT Core needs in an account. */
import type { Command } from 'commander'
import { SyncError } from '../../protocol/errors.ts'
import { addPlaceOptions, addTemplateOptions, type PlaceOptions } from '../aws/deployment.ts'
import { plan, type PlanOptions } from '../aws/plan.ts'
import type { ApplyOptions, KeysOptions } from '../aws/apply.ts'
import type { AwsDoctorOptions } from '../aws/doctor.ts'
import { Trouble } from '../doctor/report.ts'

const yes = ['--yes', 'do it; without this only what would be done is told'] as const
const write = (text: string): void => void process.stdout.write(text)

export function define(command: Command): void {
  addTemplateOptions(addPlaceOptions(command.command('plan').description('Tell all that apply would make, without asking AWS.')))
    .option('--compare', 'ask AWS, and tell only what is different there')
    .action((options: PlanOptions) => told(() => plan(options, write)))

  addTemplateOptions(addPlaceOptions(command.command('apply').description('Make the account what plan says.')))
    .option(...yes)
    .action((options: ApplyOptions) => told(async () => (await import('../aws/apply.ts')).apply(options, write)))

  addPlaceOptions(command.command('keys').description("Give the custom authorizer the server's present keys."))
    .requiredOption('--jwks <FILE or URL>', "the server's /.well-known/jwks.json")
    .option(...yes)
    .action((options: KeysOptions) => told(async () => (await import('../aws/apply.ts')).changeKeys(options, write)))

  for (const [name, description, status] of [
    ['enable', 'Let clients in by the custom authorizer again.', 'ACTIVE'],
    ['disable', 'Let nobody in by the custom authorizer; who is connected stays so.', 'INACTIVE'],
  ] as const) {
    addPlaceOptions(command.command(name).description(description)).action((options: PlaceOptions) =>
      told(async () => (await import('../aws/switch.ts')).switchAuthorizer(options, status, write)),
    )
  }

  addPlaceOptions(command.command('doctor').description('Look at the account, and say in words what is wrong.'))
    .option('--jwks <FILE or URL>', "the server's /.well-known/jwks.json, to compare the authorizer's keys with")
    .option('--token <TOKEN>', 'the access_token of POST /v1/token, to be shown to the authorizer')
    .option('--endpoint <HOST>', 'awsIot.endpoint of the server, to compare with that of the account')
    .action((options: AwsDoctorOptions) => told(async () => (await import('../aws/doctor.ts')).awsDoctor(options, write)))

  addPlaceOptions(command.command('destroy').description('Remove what apply made, and nothing else.'))
    .option(...yes)
    .action((options: PlaceOptions & { readonly yes?: boolean }) =>
      told(async () => (await import('../aws/apply.ts')).destroy(options, write)),
    )

  command
    .command('template')
    .description("Print CloudFormation's template, for those who apply it by other means.")
    .action(async () => write(`${JSON.stringify(await (await import('../aws/template.ts')).templateOf(), undefined, 2)}\n`))

  command
    .command('terraform')
    .description('Write the Terraform module, which makes the same, into a new folder.')
    .argument('<FOLDER>')
    .action(async (folder: string) => write(await (await import('../aws/template.ts')).writeTerraform(folder)))
}

/** What is wrong in a sentence, and what to do in another. */
async function told(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (error instanceof Trouble) throw new SyncError('internal', `${error.message}\n  → ${error.advice}`, {}, error)
    throw error
  }
}
