/** Runs the steps of a Dockerfile in folders instead of images, for machines without a docker daemon. */
import { execFile } from 'node:child_process'
import { cp, mkdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { cleanEnvironment } from '../support/server.ts'
import { tempFolder } from '../support/temp.ts'

const run = promisify(execFile)
const bytesMax = 64 * 1024 * 1024

/** The last stage, as it stands after all steps. */
export interface Built {
  /** What is `/` in the image. */
  readonly root: string
  readonly workdir: string
  readonly env: Readonly<Record<string, string>>
  readonly command: readonly string[]
  readonly healthcheck: readonly string[]
  readonly user: string
}

interface Stage {
  readonly root: string
  workdir: string
  readonly env: Record<string, string>
  command: string[]
  healthcheck: string[]
  user: string
}

/** Builds in the context of the files that git knows. Throws at an instruction that is not understood. */
export async function buildFrom(dockerfile: string, context: string): Promise<Built> {
  const stages = new Map<string, Stage>()
  let stage: Stage | undefined
  for (const line of instructions(await readFile(dockerfile, 'utf8'))) {
    const [, instruction = '', rest = ''] = /^(\w+) ([^]*)$/.exec(line) ?? []
    if (instruction === 'FROM') {
      stage = { root: await tempFolder(), workdir: '/', env: {}, command: [], healthcheck: [], user: 'root' }
      stages.set(/ AS (\S+)$/.exec(rest)?.[1] ?? '', stage)
    } else if (stage) {
      await step(stage, instruction, rest, stages, context)
    }
  }
  if (!stage) throw new Error(`${dockerfile} has no stage`)
  return stage
}

async function step(stage: Stage, instruction: string, rest: string, stages: ReadonlyMap<string, Stage>, context: string): Promise<void> {
  switch (instruction) {
    case 'WORKDIR':
      stage.workdir = rest
      await mkdir(join(stage.root, rest), { recursive: true })
      return
    case 'ENV':
      for (const [, name = '', value = ''] of rest.matchAll(/(\w+)=(\S+)/g)) stage.env[name] = value
      return
    case 'COPY':
      return copy(stage, rest.split(/\s+/), stages, context)
    case 'RUN':
      // What the image knows by absolute paths and names stands below a folder here, and is ours.
      await run('bash', ['-euc', rest.replaceAll(' /data', ` ${stage.root}/data`).replaceAll('node:node', '$(id -u):$(id -g)')], {
        cwd: join(stage.root, stage.workdir),
        env: { ...cleanEnvironment(), ...stage.env },
        maxBuffer: bytesMax,
      })
      return
    case 'USER':
      stage.user = rest
      return
    case 'CMD':
      stage.command = JSON.parse(rest) as string[]
      return
    case 'HEALTHCHECK':
      stage.healthcheck = JSON.parse(rest.slice(rest.indexOf('CMD ') + 4)) as string[]
      return
    case 'VOLUME':
    case 'EXPOSE':
      return
    default:
      throw new Error(`the instruction ${instruction} is not understood`)
  }
}

async function copy(stage: Stage, words: string[], stages: ReadonlyMap<string, Stage>, context: string): Promise<void> {
  const from = words[0]?.startsWith('--from=') ? stages.get(words.shift()?.slice(7) ?? '') : undefined
  const target = words.pop() ?? '.'
  const folder = join(stage.root, stage.workdir, target)
  for (const source of words) {
    if (from)
      await cp(join(from.root, source), target.endsWith('/') ? join(folder, source.split('/').at(-1) ?? '') : folder, { recursive: true })
    else if (source === '.') await copyTracked(context, folder)
    else await cp(join(context, source), join(folder, source))
  }
}

async function copyTracked(context: string, folder: string): Promise<void> {
  const { stdout } = await run('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: context,
    maxBuffer: bytesMax,
  })
  for (const name of stdout.split('\0').filter((file) => file !== '')) {
    await mkdir(join(folder, dirname(name)), { recursive: true })
    await cp(join(context, name), join(folder, name))
  }
}

/** Without comments, and with continued lines joined. */
function instructions(text: string): string[] {
  return text
    .replaceAll(/^#.*$/gm, '')
    .replaceAll('\\\n', ' ')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
}
