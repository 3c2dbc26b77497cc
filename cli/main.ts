/** The command line: a table of commands, of which only the one asked for is loaded. */
import { Command, CommanderError } from 'commander'
import { usageErrorName } from './usage-error.ts'
import { packageVersion } from './version.ts'

/** What each file in commands/ exports: its arguments, options and action. */
interface CommandModule {
  define(command: Command): void
}

interface CommandEntry {
  readonly summary: string
  load(): Promise<CommandModule>
}

const commands: Readonly<Record<string, CommandEntry>> = {
  serve: { summary: 'run the server', load: () => import('./commands/serve.ts') },
  token: { summary: 'print a development token', load: () => import('./commands/token.ts') },
  pub: { summary: 'publish an entry and print its position', load: () => import('./commands/pub.ts') },
  sub: { summary: 'follow a stream, one line per entry', load: () => import('./commands/sub.ts') },
  history: { summary: 'print the entries of a stream', load: () => import('./commands/history.ts') },
  state: { summary: 'print the last retained entry per topic of a stream', load: () => import('./commands/state.ts') },
  trim: { summary: 'remove the oldest entries of a stream; the server must be stopped', load: () => import('./commands/trim.ts') },
  verify: { summary: 'walk the store and tell what is wrong with it', load: () => import('./commands/verify.ts') },
  backup: { summary: 'write everything in the store to a file; the server may go on', load: () => import('./commands/backup.ts') },
  restore: { summary: 'fill an empty store from a backup', load: () => import('./commands/restore.ts') },
  copy: { summary: 'move a store to another one; the server must be stopped', load: () => import('./commands/copy.ts') },
  unseal: { summary: 'let a store that was copied elsewhere serve again', load: () => import('./commands/unseal.ts') },
  'check-config': { summary: 'print the resolved configuration', load: () => import('./commands/check-config.ts') },
  doctor: { summary: 'do what a client does, and say in words what is wrong', load: () => import('./commands/doctor.ts') },
  conformance: { summary: 'try on a deployment what the protocol promises', load: () => import('./commands/conformance.ts') },
  aws: { summary: 'set up, change and look at an AWS account for AWS IoT Core', load: () => import('./commands/aws.ts') },
  bench: { summary: 'put a running server under load and tell how it fared', load: () => import('./commands/bench.ts') },
}

/** Runs one command line and resolves with the exit code: 0 done, 1 refused or failed, 2 not understood. */
export async function main(args: readonly string[]): Promise<number> {
  if (!process.stdout.listeners('error').includes(endQuietly)) process.stdout.on('error', endQuietly)
  try {
    const program = await programFor(args)
    await program.parseAsync([...args], { from: 'user' })
    return 0
  } catch (error) {
    return exitCodeOf(error)
  }
}

async function programFor(args: readonly string[]): Promise<Command> {
  const program = new Command('tidemark')
    .description('An MQTT sync broker: every user and every shared space has one ordered, durable log.')
    .version(packageVersion())
    .enablePositionalOptions()
    .helpCommand('help [command]', 'explain a command')
    .exitOverride()
  const words = args.filter((arg) => !arg.startsWith('-'))
  const chosen = words[0] === 'help' ? words[1] : words[0]
  for (const [name, entry] of Object.entries(commands)) {
    const command = program.command(name).summary(entry.summary).description(sentence(entry.summary))
    if (name === chosen) (await entry.load()).define(command)
  }
  return program
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2 // Commander has said why.
  process.stderr.write(`tidemark: ${error instanceof Error ? error.message : String(error)}\n`)
  return error instanceof Error && error.name === usageErrorName ? 2 : 1
}

/** Whoever reads our output may have seen enough, as in `tidemark sub … | head`. */
function endQuietly(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
  process.exit(process.exitCode ?? 0)
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
}
