/** A plan as a person reads it: what is there to be made, changed and removed, and every property of it. */
import { createHash } from 'node:crypto'
import type { Json, JsonObject } from '../../aws/account/cloudformation.ts'
import type { Resolved, ResolvedResource } from '../../aws/account/resolve.ts'

type Resources = Resolved['resources']

/** Everything in it, for an account that has nothing of it. */
export function wholeText({ resources }: Resolved): string {
  const blocks = [...resources].map(([id, resource]) => {
    const lines = linesOf(resource.properties).map((line) => `    ${line}\n`)
    return `${headline('+', id, resource)}    # ${resource.purpose}\n${lines.join('')}`
  })
  return `${blocks.join('\n')}\n${blocks.length} to add.\n`
}

/** Only what differs; empty where nothing does. */
export function differenceText(before: Resolved, after: Resolved): string {
  const added = only(after.resources, before.resources).map(([id, resource]) => `${headline('+', id, resource)}    # ${resource.purpose}\n`)
  const removed = only(before.resources, after.resources).map(([id, resource]) => headline('-', id, resource))
  const changed = [...after.resources].flatMap(([id, resource]) => {
    const old = before.resources.get(id)
    const lines = old === undefined ? [] : changesOf(old, resource)
    return lines.length === 0 ? [] : [`${headline('~', id, resource)}${lines.map((line) => `    ${line}\n`).join('')}`]
  })
  const blocks = [...added, ...changed, ...removed]
  if (blocks.length === 0) return ''
  return `${blocks.join('\n')}\n${added.length} to add, ${changed.length} to change, ${removed.length} to remove.\n`
}

/** What goes with the stack. */
export function removalText({ resources }: Resolved): string {
  return [...resources].map(([id, resource]) => headline('-', id, resource)).join('')
}

function headline(mark: '+' | '-' | '~', id: string, { type, name }: ResolvedResource): string {
  return `${mark} ${type}  ${name}${name === id ? '' : `  (${id})`}\n`
}

function only(these: Resources, those: Resources): [string, ResolvedResource][] {
  return [...these].filter(([id]) => !those.has(id))
}

function changesOf(old: ResolvedResource, now: ResolvedResource): string[] {
  const [before, after] = [leavesOf(old.properties), leavesOf(now.properties)]
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((path) => {
    const [from, to] = [before.get(path), after.get(path)]
    return from === to ? [] : [`${path}: ${from ?? '(nothing)'} → ${to ?? '(nothing)'}`]
  })
}

function leavesOf(json: Json, path = ''): Map<string, string> {
  if (json === null || typeof json !== 'object') return new Map([[path, textOf(json)]])
  return new Map(Object.entries(json).flatMap(([key, each]) => [...leavesOf(each, path === '' ? key : `${path}.${key}`)]))
}

/** As in YAML, which needs no marks around most things. */
function linesOf(json: Json): string[] {
  if (json === null || typeof json !== 'object') return [textOf(json)]
  if (Array.isArray(json)) {
    return (json as readonly Json[]).flatMap((each) => linesOf(each).map((line, at) => `${at === 0 ? '-' : ' '} ${line}`))
  }
  return Object.entries(json as JsonObject).flatMap(([key, each]) =>
    each === null || typeof each !== 'object' ? [`${key}: ${textOf(each)}`] : [`${key}:`, ...linesOf(each).map((line) => `  ${line}`)],
  )
}

/** What is too long to be read is named by its hash, so that one sees whether it changed. */
const charsMax = 600

function textOf(value: Json): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  if (text.length > charsMax) return `${text.length} characters, SHA-256 ${createHash('sha256').update(text).digest('hex').slice(0, 16)}`
  return /[\n\r]/.test(text) || text === '' || text.trim() !== text ? JSON.stringify(text) : text
}
