/** docs/CONFIGURATION.md and the output of `check-config`, from the schema. */
import { readFileSync } from 'node:fs'
import { settings, type Setting } from './config-schema.ts'
import type { ResolvedConfig } from './config.ts'
import { allowed, show } from './config-values.ts'

/** The resolved configuration, one setting per line with where it came from; secrets are masked. */
export function describeConfig({ config, sources }: ResolvedConfig): string {
  const lines = settings.map(({ key, schema }) => {
    const value = valueAt(config, key)
    const source = sources.get(key) ?? 'default'
    return `${key} = ${value === undefined ? `(${schema.byDefault ?? 'none'})` : show(schema, value)}  # ${source}`
  })
  return lines.join('\n')
}

/** docs/CONFIGURATION.md. */
export function configurationMarkdown(): string {
  const limits = settings.filter(isLimit)
  return `# Configuration

<!-- Made by \`node bin/tidemark.js check-config --markdown\`. Change cli/config-schema.ts, not this file. -->

Flags win over environment variables, those over the file, and the file over the defaults. The file is JSON, named by \`--config FILE\` or \`TIDEMARK_CONFIG\`; its members are the names in the first column:

\`\`\`json
{
  "mqttPort": 1884,
  "limits": { "inflightMax": 500 }
}
\`\`\`

An unknown setting, a value that is not allowed or a combination that cannot work ends the start with one sentence that names the setting, where it came from and what is allowed. \`tidemark check-config\` takes the same flags as \`tidemark serve\` and shows the resolved configuration with the source of each value, secrets masked, or that sentence. Relative paths start at the working directory.

A flag without a value is switched off by its opposite, as in \`--no-open\`. In a variable such a setting is \`true\` or \`false\`.

## Settings

| setting | flag | variable | default | allowed | meaning |
|---|---|---|---|---|---|
${settings
  .filter((setting) => !isLimit(setting))
  .map(settingRow)
  .join('\n')}

## Limits

Each bounds something that a client, a disk or a network could otherwise let grow. A limit is set in the file below \`limits\`, by its variable, or by \`--limit NAME=VALUE\`, which may be given several times.

| limit | variable | default | allowed | meaning |
|---|---|---|---|---|
${limits.map((setting) => limitRow(setting, limitMeanings())).join('\n')}
`
}

function isLimit({ key }: Setting): boolean {
  return key.startsWith('limits.')
}

function settingRow({ key, flag, variable, schema }: Setting): string {
  const usage = flag === undefined ? '–' : code(schema.type === 'boolean' ? flag : `${flag} ${schema.value ?? 'VALUE'}`)
  const preset = schema.default === undefined ? (schema.byDefault ?? 'none') : code(show(schema, schema.default))
  return row([code(key), usage, code(variable), preset, allowed(schema), schema.description ?? ''])
}

function limitRow({ key, variable, schema }: Setting, meanings: ReadonlyMap<string, string>): string {
  const name = key.slice('limits.'.length)
  return row([code(name), code(variable), String(schema.default), allowed(schema), meanings.get(name) ?? ''])
}

/** What each limit protects from stands once, as its comment beside the limit; members without one share that of the member above. */
function limitMeanings(): Map<string, string> {
  const path = new URL(`../seams/limits.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url)
  const source = readFileSync(path, 'utf8')
  const meanings = new Map<string, string>()
  let meaning = ''
  for (const line of source.split('\n')) {
    meaning = /^\s*\/\*\* (.*) \*\/$/.exec(line)?.[1] ?? meaning
    const name = /^\s+(\w+): /.exec(line)?.[1]
    if (name !== undefined) meanings.set(name, meaning)
  }
  return meanings
}

function valueAt(config: object, key: string): unknown {
  return key.split('.').reduce((inner: unknown, name) => (inner as Record<string, unknown>)[name], config)
}

function code(text: string): string {
  return `\`${text}\``
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
}
