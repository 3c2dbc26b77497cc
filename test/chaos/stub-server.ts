/**
 * The stub of MongoDB as a program: `stub-server.ts PORT JOURNAL`. What it is given stands in the journal before it answers, so it may
 * be killed. Lines on its standard input: `uncertain`: the primary alone has what is written from now on, and connections end
 * instead of an answer; `commit`: the majority has it all; `roll back`: another primary goes on without it.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { BSON, type Document } from 'mongodb'
import { MongoStub, type StubCommand } from '../support/mongo/stub.ts'

const [port = '', journal = ''] = process.argv.slice(2)
const writes = new Set(['insert', 'update', 'delete'])
const noAnswerMs = 150
const electionMs = 300

const stub = await MongoStub.start(Number(port))
if (existsSync(journal)) replay(readFileSync(journal))
let isCertain = true

stub.answer = async (command) => {
  if (!stub.isPrimary || !writes.has(command.name)) return undefined
  // A change of a document could not be taken back here; so it is not made.
  if (!isCertain && command.name !== 'insert') return 'cut'
  note({ command, committed: isCertain })
  const answer = stub.run(command, { committed: isCertain })
  // What was there already is said at once; of what was written nobody hears.
  if (isCertain || answer['n'] === 0) return answer
  await new Promise((resolve) => setTimeout(resolve, noAnswerMs))
  return 'cut'
}

createInterface({ input: process.stdin }).on('line', (line) => {
  if (line === 'uncertain') isCertain = false
  else if (line === 'commit') certain(() => stub.data.commitAll(), 'commit')
  else if (line === 'roll back') certain(rollBack, 'roll back')
})

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
