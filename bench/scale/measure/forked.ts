/** Another process of ours, asked one thing after the other. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { childArguments, childModule } from '../../load/child-modules.ts'

export interface Forked<Answer> {
  readonly pid: number
  readonly first: Answer
  ask(question: unknown): Promise<Answer>
  stop(): Promise<void>
}

/** Starts a module of this folder, named without its ending, and resolves with the first thing that it says. */
export async function forked<Answer>(name: string, words: readonly string[] = []): Promise<Forked<Answer>> {
  const child = fork(childModule(new URL(name, import.meta.url)), words, { execArgv: childArguments() })
  const answer = (): Promise<Answer> => nextAnswer<Answer>(child)
  return {
    first: await answer(),
    pid: child.pid as number,
    async ask(question) {
      const answered = answer()
      child.send(question as object)
      return await answered
    },
    async stop() {
      const ended = once(child, 'exit')
      child.disconnect()
      await ended
    },
  }
}

async function nextAnswer<Answer>(child: ChildProcess): Promise<Answer> {
  const over = new AbortController()
  const ended = once(child, 'exit', { signal: over.signal }).then(() => Promise.reject(new Error(`${child.spawnfile} has ended`)))
  try {
    const [answer] = (await Promise.race([once(child, 'message', { signal: over.signal }), ended])) as [Answer]
    return answer
  } finally {
    ended.catch(() => {}) // It is told that nobody waits any more.
    over.abort()
  }
}
