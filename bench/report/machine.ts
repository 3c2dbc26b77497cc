/** Where and when something was measured. */
import { execFileSync } from 'node:child_process'
import { cpus, loadavg, release, totalmem, type } from 'node:os'

export interface Machine {
  readonly cores: number
  readonly model: string
  readonly memoryGigabytes: number
  readonly kernel: string
  readonly node: string
}

export function thisMachine(): Machine {
  const processors = cpus()
  return {
    cores: processors.length,
    model: processors[0]?.model.trim() ?? 'unknown processor',
    memoryGigabytes: Math.round(totalmem() / 2 ** 30),
    kernel: `${type()} ${release()}`,
    node: process.version,
  }
}

/** Of the last minute: above the number of cores that are used otherwise, figures say little. */
export function loadAverage(): string {
  return (loadavg()[0] as number).toFixed(1)
}

/** Short, with a `+` where files differ from it; `–` without git. */
export function commit(folder: string): string {
  const git = (...args: string[]): string =>
    execFileSync('git', ['-C', folder, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  try {
    return `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain') === '' ? '' : '+'}`
  } catch {
    return '–'
  }
}
