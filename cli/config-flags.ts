/** The settings as flags of a command. */
import { Option, type Command } from 'commander'
import { settings, type Setting } from './config-schema.ts'
import { resolveConfig, type ResolvedConfig } from './config.ts'
import { show } from './config-values.ts'
import { UsageError } from './usage-error.ts'

/** Adds `--config` and the flags of the settings named, or of all with `--limit`. */
export function addConfigFlags(command: Command, keys?: readonly string[]): void {
  command.option('--config <FILE>', 'configuration file, JSON (TIDEMARK_CONFIG)')
  for (const setting of settings) {
    if (setting.key.startsWith('limits.') || setting.flag === undefined) continue
    if (keys && !keys.includes(setting.key)) continue
    for (const option of optionsOf(setting)) command.addOption(option)
  }
  if (keys) return
  command.option('--limit <NAME=VALUE>', 'a limit of docs/CONFIGURATION.md; may be given several times', collect)
}

/** The configuration from the command's flags, the environment and the file. Throws as `resolveConfig`. */
export function configOfFlags(flags: Readonly<Record<string, unknown>>): ResolvedConfig {
  const known = new Set(settings.map(({ key }) => key))
  const own = Object.fromEntries(Object.entries(flags).filter(([key]) => known.has(key)))
  // `history` has another --limit, a single value.
  const limits = Array.isArray(flags['limit']) ? limitsOf(flags['limit'] as readonly string[]) : {}
  return resolveConfig({ flags: { ...own, limits }, env: process.env, file: flags['config'] as string | undefined })
}

/** For options that may be given several times. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value]
}

function optionsOf({ flag, variable, schema }: Setting): Option[] {
  const preset = schema.default === undefined ? schema.byDefault : show(schema, schema.default).replaceAll('"', '')
  const hints = [...(preset === undefined || preset === '[]' ? [] : [`default ${preset}`]), variable].join('; ')
  const text = `${(schema.description ?? '').replaceAll('`', '')} (${hints})`
  if (schema.type !== 'boolean') return [new Option(`${flag} <${schema.value ?? 'VALUE'}>`, text)]
  // The opposite lets a flag win over a variable that says true.
  return [new Option(flag as string, text), new Option(`--no-${(flag as string).slice(2)}`).hideHelp()]
}

function limitsOf(given: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    given.map((text) => {
      const at = text.indexOf('=')
      if (at < 1) throw new UsageError(`--limit ${text}: write it as NAME=VALUE`)
      return [text.slice(0, at), text.slice(at + 1)]
    }),
  )
}
