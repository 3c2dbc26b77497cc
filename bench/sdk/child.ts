/** A fresh process for one command: `node child.ts [FOLDER OF THE CLIENTS OF NATS]`; ends when its parent lets go of it. */
import { createRequire } from 'node:module'
import { WebSocket } from 'ws'
// Loaded by the SDK, and by mqtt.js, when they first connect: here before anything is measured, as the peer's client is.
import 'mqtt'
import 'mqtt/lib/connect/tcp'
import 'mqtt/lib/connect/ws'
import { levelOutbox } from '../../client/node.ts'
import type { NatsModules } from './nats.ts'
import { performer, type Answers, type Command } from './perform.ts'

export type FromChild = { readonly answer: Answers[Command['do']] } | { readonly failure: string }

const [, , natsFolder] = process.argv
// Node 20 has none of its own.
globalThis.WebSocket ??= WebSocket as unknown as typeof globalThis.WebSocket
const perform = performer({ outbox: levelOutbox, ...(natsFolder !== undefined && { nats: natsIn(natsFolder) }) })

process.on('disconnect', () => process.exit())
process.on('message', (command: Command) => {
  perform(command).then(
    (answer) => tell({ answer }),
    (error: unknown) => tell({ failure: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  )
})

function natsIn(folder: string): NatsModules {
  const load = createRequire(`${folder}/`)
  return { ...(load('@nats-io/nats-core') as object), ...(load('@nats-io/jetstream') as object) } as NatsModules
}

function tell(message: FromChild): void {
  process.send?.(message)
}
