/** The template with the packed authorizer in it: a package holds that built; a checkout packs it when somebody asks. */
import { existsSync } from 'node:fs'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Template } from '../../aws/account/cloudformation.ts'
import { accountTemplate } from '../../aws/account/template.ts'
import { SyncError } from '../../protocol/errors.ts'

/** Beside `cli/`, in a checkout as in a package. */
const folder = new URL('../../aws/', import.meta.url)

export async function templateOf(): Promise<Template> {
  const build = new URL('build.ts', folder)
  if (!existsSync(build)) return accountTemplate(await readFile(new URL('authorizer-inline.js', folder), 'utf8'))
  const { buildInlineAuthorizer } = (await import(build.href)) as { readonly buildInlineAuthorizer: () => Promise<string> }
  return accountTemplate(await buildInlineAuthorizer())
}

/** The Terraform module and the authorizer that it packs; resolves with what to say. Throws where the folder is there already. */
export async function writeTerraform(target: string): Promise<string> {
  if (existsSync(target)) throw new SyncError('bad-request', `${target} is there already`)
  await mkdir(target, { recursive: true })
  await cp(fileURLToPath(new URL('terraform/', folder)), target, { recursive: true })
  await writeFile(join(target, 'authorizer.mjs'), await moduleCode())
  return `${target} holds the module.\n`
}

async function moduleCode(): Promise<Uint8Array> {
  const build = new URL('build.ts', folder)
  if (!existsSync(build)) return await readFile(new URL('authorizer.mjs', folder))
  const { buildAuthorizer } = (await import(build.href)) as { readonly buildAuthorizer: () => Promise<Uint8Array> }
  return await buildAuthorizer()
}
