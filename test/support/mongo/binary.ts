/** Where `test/servers/ferretdb/build.sh` puts FerretDB. */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

export function ferretPath(): string {
  const module = readFileSync(new URL('../../servers/ferretdb/go.mod', import.meta.url), 'utf8')
  const version = /^require github\.com\/FerretDB\/FerretDB (\S+)$/m.exec(module)?.[1] ?? ''
  return join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'tidemark-ci', `ferretdb-${version}`, 'ferretdb')
}

export function ferretArguments(folder: string, port: number): string[] {
  return [
    '--handler=sqlite',
    `--sqlite-url=file:${folder}/`,
    `--state-dir=${folder}`,
    `--listen-addr=127.0.0.1:${port}`,
    '--debug-addr=-',
    '--telemetry=disable',
    '--log-level=ERROR',
  ]
}
