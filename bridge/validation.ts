/** Reads parameters by the schema that documents them: text in, exact values out, or `bad-request`. */
import type { FastifySchemaCompiler } from 'fastify'
import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { SyncError } from '../protocol/errors.ts'
import { quote } from '../protocol/topics.ts'

interface ParameterSchema {
  readonly type?: string
}

/** For all parts of a request. A body is checked as it was parsed; parameters are read from their text first. */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const validator = Compile(schema)
  const properties = ('properties' in schema ? schema.properties : {}) as Readonly<Record<string, ParameterSchema>>
  return (given: unknown) => {
    const value = httpPart === 'querystring' ? readParameters(given as Readonly<Record<string, unknown>>, properties) : given
    if (value instanceof SyncError) return { error: value }
    if (validator.Check(value)) return { value }
    const [first] = validator.Errors(value)
    const where = first?.instancePath.slice(1) ?? ''
    return {
      error: new SyncError(
        'bad-request',
        `${where === '' ? (httpPart ?? 'the request') : quote(where)} ${first?.message ?? 'is not valid'}`,
      ),
    }
  }
}

/** Query strings as objects; a name given twice becomes an array, which only parameters of that type may be. */
export function parseQuery(text: string): Record<string, unknown> {
  const values: Record<string, unknown> = Object.create(null) as Record<string, unknown>
  for (const [name, value] of new URLSearchParams(text)) {
    const held = values[name]
    if (Array.isArray(held)) held.push(value)
    else values[name] = held === undefined ? value : [held, value]
  }
  return values
}

function readParameters(
  given: Readonly<Record<string, unknown>>,
  properties: Readonly<Record<string, ParameterSchema>>,
): Record<string, unknown> | SyncError {
  const values: Record<string, unknown> = {}
  for (const [name, text] of Object.entries(given)) {
    const property = Object.hasOwn(properties, name) ? properties[name] : undefined
    if (!property) return new SyncError('bad-request', `unknown parameter ${quote(name.slice(0, 40))}`)
    const value = property.type === 'array' ? [text].flat() : typeof text === 'string' ? readParameter(text, property.type) : undefined
    if (value === undefined) return new SyncError('bad-request', `${quote(name)} is given twice or is no ${property.type ?? 'value'}`)
    values[name] = value
  }
  return values
}

function readParameter(text: string, type: string | undefined): unknown {
  if (type === 'integer') return /^(0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : undefined
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : undefined
  return text
}
