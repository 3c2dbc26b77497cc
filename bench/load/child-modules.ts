/** Starting a module of this folder's tree in a process of its own, from the sources or from a build. */
import { createRequire } from 'node:module'

const fromSource = import.meta.url.endsWith('.ts')

/** The module's file, whose URL is given without its ending. */
export function childModule(url: URL): URL {
  return new URL(`${url.href}.${fromSource ? 'ts' : 'js'}`)
}

/** What node needs before the module. */
export function childArguments(): string[] {
  return fromSource ? ['--import', createRequire(import.meta.url).resolve('tsx')] : []
}
