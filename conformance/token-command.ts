/** A command of the deployment's owner that prints a token for a user. */
import { spawn } from 'node:child_process'
import { withoutTokens } from './arrivals.ts'
import { short } from './check.ts'

const timeoutMs = 60_000

/** What stands for the user in the command. */
export const userMark = '{user}'

/** Runs the command by the shell with the user in its place; what it prints is the token. */
export async function tokenBy(command: string, user: string): Promise<string> {
  const { stdout, stderr, code } = await outputOf(command.replaceAll(userMark, () => user))
  const token = stdout.trim()
  if (code === 0 && /^\S+$/.test(token)) return token
  const prints = token === '' ? 'nothing' : 'more than one word'
  const said = stderr.trim().split('\n').at(-1) ?? ''
  const status = code === 0 ? '' : code === null ? ` within ${timeoutMs / 1_000} s` : ` (exit code ${code})`
  const why = code === 0 || said === '' ? `it prints ${prints}` : said
  throw new Error(`the token command brings no token for ${user}${status}: ${short(withoutTokens(why))}`)
}

/** `code` is null where it had to be ended. */
async function outputOf(command: string): Promise<{ readonly stdout: string; readonly stderr: string; readonly code: number | null }> {
  // A group of its own, so that whatever the shell starts ends with it.
  const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const code = await new Promise<number | null>((resolve, reject) => {
    const timer = setTimeout(() => void (child.pid !== undefined && process.kill(-child.pid, 'SIGKILL')), timeoutMs)
    child.once('error', reject)
    child.once('close', (status) => {
      clearTimeout(timer)
      resolve(status)
    })
  })
  return { stdout, stderr, code }
}
