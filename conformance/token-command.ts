/** A command of the deployment's owner that prints a token for a user. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { withoutTokens } from './arrivals.ts'
import { short } from './check.ts'

const run = promisify(execFile)
const timeoutMs = 20_000

/** What stands for the user in the command. */
export const userMark = '{user}'

/** Runs the command by the shell with the user in its place; what it prints is the token. */
export async function tokenBy(command: string, user: string): Promise<string> {
  try {
    const { stdout } = await run('/bin/sh', ['-c', command.replaceAll(userMark, user)], { timeout: timeoutMs })
    const token = stdout.trim()
    if (token === '' || /\s/.test(token)) throw new Error(`it prints ${token === '' ? 'nothing' : 'more than one word'}`)
    return token
  } catch (error) {
    const { stderr, killed, code, message } = error as { stderr?: string; killed?: boolean; code?: unknown; message: string }
    const why = killed === true ? `it takes more than ${timeoutMs / 1_000} s` : (stderr?.trim().split('\n').at(-1) ?? '') || message
    const status = typeof code === 'number' ? ` (exit code ${code})` : ''
    throw new Error(`the token command brings no token for ${user}${status}: ${short(withoutTokens(why))}`, { cause: error })
  }
}
