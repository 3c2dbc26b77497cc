/** What the system knows about a process. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** Of /proc/PID/stat: as good as every Linux counts in hundredths. */
const ticksPerSecond = 100
const settlePollMs = 500
const settleMaxMs = 20_000

/** Seconds of processor time since its start. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

export function residentBytes(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? []
  return Number(kilobytes) * 1024
}

/** Waits until it changes by less than 1 % between two looks. */
export async function settledResidentBytes(pid: number): Promise<number> {
  let before = residentBytes(pid)
  for (let waitedMs = 0; waitedMs < settleMaxMs; waitedMs += settlePollMs) {
    await sleep(settlePollMs)
    const now = residentBytes(pid)
    if (Math.abs(now - before) < before / 100) return now
    before = now
  }
  return before
}

/** Looks at the memory until the returned function is called, which says how much it was at most. */
export function watchResident(pid: number): () => number {
  let most = residentBytes(pid)
  const timer = setInterval(() => (most = Math.max(most, residentBytes(pid))), 100)
  return () => {
    clearInterval(timer)
    return most
  }
}
