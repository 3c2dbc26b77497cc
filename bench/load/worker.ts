/** One of several processes of a run; ends when its parent lets go of it. */
import { LoadRun } from './load-run.ts'
import type { LoadCounts, LoadOptions } from './options.ts'

/** To a worker: begin, in two steps, so that all of them measure at the same time. */
export type ToWorker =
  | { readonly type: 'connect'; readonly options: LoadOptions; readonly numbers: readonly number[] }
  | { readonly type: 'measure' }

export type FromWorker =
  | { readonly type: 'connected' | 'counting' | 'counted' }
  | { readonly type: 'result'; readonly counts: LoadCounts }
  | { readonly type: 'failed'; readonly message: string }

let run: LoadRun | undefined

process.on('message', (message: ToWorker) => {
  work(message).catch((error: unknown) => answer({ type: 'failed', message: error instanceof Error ? error.message : String(error) }))
})
process.on('disconnect', () => process.exit())

async function work(message: ToWorker): Promise<void> {
  if (message.type === 'connect') {
    run = await LoadRun.connect(message.options, message.numbers)
    answer({ type: 'connected' })
    return
  }
  const counts = await run?.measure({ counting: () => answer({ type: 'counting' }), counted: () => answer({ type: 'counted' }) })
  await run?.close()
  if (counts) answer({ type: 'result', counts })
}

function answer(message: FromWorker): void {
  process.send?.(message)
}
