/** The console: signs in, shows the workspace, and signs in again. */
import { hasSecret, storeAccount, storedAccount, takeSecret, type Account } from './account.ts'
import { messageOf } from './format.ts'
import { signIn } from './sign-in.ts'
import { Workspace } from './workspace.ts'

/** Whom the README's commands speak of. */
const firstUser: Account = { kind: 'development', name: 'alice', spaces: { 'board-7': 'write' } }

let workspace: Workspace | undefined

async function enter(account: Account): Promise<void> {
  const opened = await Workspace.open(account, () => void leave())
  storeAccount(account)
  workspace = opened
  document.body.replaceChildren(opened.element)
}

async function leave(): Promise<void> {
  storeAccount(undefined)
  askWho()
  await close()
}

async function close(): Promise<void> {
  const left = workspace
  workspace = undefined
  await left?.close()
}

function askWho(problem?: string): void {
  document.body.replaceChildren(signIn(enter, problem))
}

/** Whoever comes by the printed link is signed in at once. */
async function begin(fromLink: boolean): Promise<void> {
  const stored = storedAccount()
  const account = fromLink && stored?.kind !== 'development' ? firstUser : stored
  if (!account || (account.kind === 'development' && !hasSecret())) return askWho()
  await enter(account).catch((error: unknown) => askWho(messageOf(error)))
}

void begin(takeSecret())
// The link of another start, opened in this tab, loads nothing anew.
addEventListener('hashchange', () => {
  if (takeSecret()) void close().then(() => begin(true))
})
