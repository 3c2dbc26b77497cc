/** `tidemark pub TOPIC`: publishes over the put door and prints the positions. */
import { createInterface } from 'node:readline'
import type { Command } from 'commander'
import { Putter, type PutAnswer, type PutFields } from '../putter.ts'
import { addTargetOptions, targetOf } from '../target.ts'
import { UsageError } from '../usage-error.ts'

interface PubOptions {
  readonly message?: string
  readonly json?: string
  readonly stdinLines?: boolean
  readonly retain?: boolean
  readonly if?: string
  readonly id?: string
}

/** Answers waited for at once: enough to fill the commits of a fast disk. */
const windowMax = 200

export function define(command: Command): void {
  command
    .argument('<STREAM/TOPIC>', 'the topic, like users/alice/notes/1')
    .option('-m, --message <TEXT>', 'the payload, a text')
    .option('--json <JSON>', 'the payload, a JSON value')
    .option('--stdin-lines', 'an entry per line of standard input')
    .option('--retain', 'keep it as the state of the topic; without a payload: delete the state of the topic')
    .option('--if <CONDITION>', 'only if the topic holds this position, none, or id:ID; with --retain')
    .option('--id <ID>', 'entry id: the same id twice is stored once')
  addTargetOptions(command, 'mqtt')
  command.action(pub)
}

async function pub(topic: string, options: PubOptions & Record<string, unknown>): Promise<void> {
  const payload = payloadOf(options)
  const rules = { ...(options.retain ? { retain: true } : {}), ...(options.if === undefined ? {} : { if: options.if }) }
  const putter = await Putter.connect(targetOf(options, 'mqtt'))
  try {
    if (payload) print(await putter.put(topic, { ...payload, ...rules }, options.id))
    else await publishLines(putter, topic, rules)
  } finally {
    await putter.close()
  }
}

/** Undefined where the payloads come from standard input. */
function payloadOf({ message, json, stdinLines = false, retain = false, if: condition, id }: PubOptions): PutFields | undefined {
  const given = [message !== undefined, json !== undefined, stdinLines].filter(Boolean).length
  if (given > 1) throw new UsageError('give one of -m, --json and --stdin-lines')
  if (given === 0 && !retain) throw new UsageError('give a payload with -m, --json or --stdin-lines')
  if (condition !== undefined && !retain) throw new UsageError('--if needs --retain')
  if (stdinLines && id !== undefined) throw new UsageError('--id is for one entry')
  if (id !== undefined && !/^[A-Za-z0-9_-]{1,64}$/.test(id)) throw new UsageError(`--id ${id}: write 1 to 64 of A-Z a-z 0-9 _ -`)
  if (message !== undefined) return { text: message }
  if (json !== undefined) return { data: parsed(json) }
  return stdinLines ? undefined : {}
}

async function publishLines(putter: Putter, topic: string, rules: PutFields): Promise<void> {
  const waiting: Promise<PutAnswer>[] = []
  const printOldest = async (): Promise<void> => print(await (waiting.shift() as Promise<PutAnswer>))
  for await (const line of createInterface({ input: process.stdin })) {
    const answer = putter.put(topic, { text: line, ...rules })
    answer.catch(() => {}) // Thrown where its turn to be printed comes.
    waiting.push(answer)
    if (waiting.length >= windowMax) await printOldest()
  }
  while (waiting.length > 0) await printOldest()
}

function print({ pos }: PutAnswer): void {
  process.stdout.write(`${pos}\n`)
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    throw new UsageError(`--json ${json.slice(0, 100)} is not JSON`)
  }
}
