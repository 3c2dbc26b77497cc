/** One value of one setting: read from text, checked, shown. */
import { Value } from 'typebox/value'
import { SyncError } from '../protocol/errors.ts'
import type { Setting, SettingSchema } from './config-schema.ts'

/** A text from a flag or variable as the type of its setting; a text that is none stays, for the check to refuse. */
export function fromText(schema: SettingSchema, text: string): unknown {
  switch (schema.type) {
    case 'integer':
      return /^[+-]?\d+$/.test(text) ? Number(text) : text
    case 'boolean':
      return { true: true, '1': true, false: false, '0': false }[text] ?? text
    case 'object':
      return fromJson(text)
    case 'array':
      return /^\s*[[{]/.test(text) ? fromJson(text) : fromList(text)
    case undefined:
    default:
      return text
  }
}

/** The value, if it is one of this setting; otherwise throws a sentence with key, source and what is allowed. */
export function checkValue({ key, schema }: Setting, value: unknown, source: string): unknown {
  if (Value.Check(schema, value)) return value
  const where = Value.Errors(schema, value)[0]
  const inside = where && where.instancePath !== '' ? `, at ${where.instancePath.slice(1)},` : ''
  // Where a secret is, a slip may have put it in any place: nothing of the value is shown.
  const found = schema.secrets ? 'the value' : show(schema, value)
  throw new SyncError('bad-request', `${key} (${source}): ${found}${inside} is not allowed; it must be ${allowed(schema)}`)
}

/** What may stand there, in words. */
export function allowed(schema: SettingSchema): string {
  if (schema.allowed !== undefined) return schema.allowed
  if (schema.enum) return `one of ${schema.enum.join(', ')}`
  if (schema.type === 'boolean') return 'true or false'
  if (schema.type !== 'integer') return 'a text'
  const { minimum = 0, maximum = Number.MAX_SAFE_INTEGER } = schema
  return maximum === Number.MAX_SAFE_INTEGER ? `a whole number from ${minimum} on` : `a whole number from ${minimum} to ${maximum}`
}

/** The value as a person may see it: without secrets, and not endless. */
export function show(schema: SettingSchema, value: unknown): string {
  const secrets = schema.secrets ?? []
  if (schema.secrets && typeof value === 'string') value = withoutPassword(value)
  const text = JSON.stringify(value, (name, inner: unknown) => (secrets.includes(name) ? '********' : inner)) ?? 'nothing'
  return text.length > 2_000 ? `${text.slice(0, 2_000)}…` : text
}

/** A URL without its user, password and whatever in it is called one; any other text as it is. */
export function withoutPassword(text: string): string {
  if (text.startsWith('level:')) return text
  return text.replace(/:\/\/.*@/, '://********@').replaceAll(/((?:password|properties)=)[^&]*/gi, '$1********')
}

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function fromList(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
}
