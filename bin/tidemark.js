#!/usr/bin/env node
// In a checkout the sources run as they are; a package holds them compiled.
import { existsSync } from 'node:fs'

const source = new URL('../cli/main.ts', import.meta.url)
const { main } = existsSync(source) ? await fromSource() : await import('../dist/cli/main.js')
process.exitCode = await main(process.argv.slice(2))

async function fromSource() {
  const { register } = await import('tsx/esm/api')
  register()
  return await import(source.href)
}
