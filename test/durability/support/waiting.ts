/** Waits that say what they waited for. */

/** As the promise; rejects after the time naming what was awaited. */
export async function within<Result>(timeoutMs: number, awaited: string, promise: Promise<Result>): Promise<Result> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${timeoutMs} ms in vain for ${awaited}`)), timeoutMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Resolves once the condition holds, which is looked at again and again. */
export async function until(
  timeoutMs: number,
  awaited: string | (() => string),
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  for (const start = performance.now(); !(await condition());) {
    if (performance.now() - start > timeoutMs) {
      throw new Error(`waited ${timeoutMs} ms in vain for ${typeof awaited === 'string' ? awaited : awaited()}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
