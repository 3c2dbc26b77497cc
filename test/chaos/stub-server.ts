/**
 * The stub of MongoDB as a program: `stub-server.ts PORT JOURNAL`. What it is given stands in the journal before it answers, so it may
 * be killed. Lines on its standard input: `uncertain`: the primary alone has what is inserted from now on, and says that the majority
 * does not answer; `commit`: the majority has it all; `roll back`: another primary goes on without it.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { BSON, type Document } from 'mongodb'
import { MongoStub, type StubCommand } from '../support/mongo/stub.ts'

const [port = '', journal = ''] = process.argv.slice(2)
const writes = new Set(['insert', 'update', 'delete'])
const majorityMs = 100
const electionMs = 300

const stub = await MongoStub.start(Number(port))
if (existsSync(journal)) replay(readFileSync(journal))
let isCertain = true

stub.answer = async (command) => {
  if (!stub.isPrimary || !writes.has(command.name)) return undefined
  // A change of a document could not be taken back here; so it is not made.
  if (!isCertain && command.name !== 'insert')
    return { ok: 0, code: 50, codeName: 'MaxTimeMSExpired', errmsg: 'operation exceeded time limit' }
  note({ command, committed: isCertain })
  const answer = stub.run(command, { committed: isCertain })
  if (!isCertain) tell(`${command.collection} ${idsOf(command)}: ${String(answer['n'])} inserted`)
  // What was there already is said at once.
  if (isCertain || answer['n'] === 0) return answer
  await new Promise((resolve) => setTimeout(resolve, majorityMs))
  return { ...answer, writeConcernError: { code: 64, codeName: 'WriteConcernFailed', errmsg: 'waiting for replication timed out' } }
}

createInterface({ input: process.stdin }).on('line', (line) => {
  tell(line)
  if (line === 'uncertain') isCertain = false
  else if (line === 'commit') certain(() => stub.data.commitAll(), 'commit')
  else if (line === 'roll back') certain(rollBack, 'roll back')
})

function tell(line: string): void {
  process.stdout.write(`${new Date().toISOString()} ${line}\n`)
}

function idsOf({ body }: StubCommand): string {
  return (body['documents'] as Document[]).map(({ _id }) => String(_id)).join(', ')
}

function certain(change: () => void, name: string): void {
  note({ change: name })
  change()
  isCertain = true
}

function rollBack(): void {
  stub.data.rollBack()
  stub.isPrimary = false
  stub.cutAll()
  setTimeout(() => (stub.isPrimary = true), electionMs)
}

function note(what: Document): void {
  appendFileSync(journal, BSON.serialize(what))
}

function replay(bytes: Buffer): void {
  for (let at = 0; at + 4 <= bytes.length && at + bytes.readInt32LE(at) <= bytes.length; at += bytes.readInt32LE(at)) {
    const { command, committed, change } = BSON.deserialize(bytes.subarray(at, at + bytes.readInt32LE(at)), { promoteBuffers: true })
    if (change === 'commit') stub.data.commitAll()
    else if (change === 'roll back') stub.data.rollBack()
    else stub.run(command as StubCommand, { committed: committed as boolean })
  }
}
