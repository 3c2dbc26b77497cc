/** `tidemark check-config`: what `serve` with the same flags would run with. */
import type { Command } from 'commander'
import { configurationMarkdown, describeConfig } from '../config-docs.ts'
import { addConfigFlags, configOfFlags } from '../config-flags.ts'

export function define(command: Command): void {
  addConfigFlags(command)
  command.option('--markdown', 'print docs/CONFIGURATION.md instead').action((options: Record<string, unknown>) => {
    process.stdout.write(options['markdown'] === true ? configurationMarkdown() : `${describeConfig(configOfFlags(options))}\n`)
  })
}
