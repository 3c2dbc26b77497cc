/** Faults planted into a copy of the sources, to see that they are found: the product itself has no switches. */
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compileInto } from './faults/compile.ts'
import { themeOf, type Theme } from './faults/themes.ts'
import type { StoreKind } from './record.ts'

interface Planting {
  readonly name: string
  readonly why: string
  /** The store and the faults that it shows with soonest. */
  readonly store: StoreKind
  readonly theme: Theme
  readonly changes: readonly { readonly file: string; readonly from: string; readonly to: string }[]
}

export const plantings: readonly Planting[] = [
  {
    name: 'early-ack',
    why: 'a publish is acknowledged before its commit',
    store: 'level',
    theme: themeOf('losses'),
    changes: [
      {
        file: 'log/group-commit.ts',
        from: 'const withBucket = taken.filter(hasBucket)\n',
        to: 'const withBucket = taken.filter(hasBucket)\n    for (const { drafts } of withBucket) this.#settle(drafts)\n',
      },
    ],
  },
  {
    name: 'no-sync',
    why: 'a commit is not synced to the disk',
    store: 'level',
    theme: themeOf('losses'),
    changes: [{ file: 'log/stores/level-writer.ts', from: 'this.#options.unsafe?.sync ?? true', to: 'false' }],
  },
  {
    name: 'new-nonce',
    why: 'a commit of unknown outcome is tried again as another one',
    store: 'mongo-stub',
    theme: themeOf('answers'),
    changes: [
      {
        file: 'log/group-commit.ts',
        from: 'const found = await this.#parts.store.settle(bucket)',
        to: "const found: string = (await this.#parts.catchUp(stream), 'taken')",
      },
    ],
  },
  {
    name: 'own-nonce-local',
    why: 'the own commit is believed where the primary alone has it',
    store: 'mongo-stub',
    theme: themeOf('majorities'),
    changes: [
      {
        file: 'log/stores/mongo-buckets.ts',
        from: '{ projection: { w: 1 } }',
        to: "{ projection: { w: 1 }, readConcern: { level: 'local' } }",
      },
    ],
  },
  {
    name: 'stale-refusal',
    why: 'a condition is refused without asking the store for the head',
    store: 'mongo-stub',
    theme: themeOf('hints'),
    changes: [{ file: 'log/group-commit.ts', from: 'if (this.#parts.store.shared) {', to: 'if (Number(0) === 1) {' }],
  },
  {
    name: 'cached-ahead',
    why: 'a position is called ahead, and a reader caught up, from what the node remembers',
    store: 'mongo-stub',
    theme: themeOf('hints'),
    changes: [
      { file: 'log/history.ts', from: 'await log.confirmHead(stream)\n    if (position.seq > stream.headSeq) return', to: 'return' },
      { file: 'bridge/history.ts', from: 'await log.confirmHead(stream)', to: '' },
      {
        file: 'broker/session.ts',
        from: 'await this.log.confirmHead(stream) // What is said of the head next must be true [P-2.18].',
        to: '',
      },
    ],
  },
  {
    name: 'trim-past-snapshot',
    why: 'a stream is trimmed beyond its last snapshot',
    store: 'level',
    theme: themeOf('losses'),
    changes: [
      { file: 'log/maintenance.ts', from: 'while ((stream.record?.snapshot?.seq ?? 0) < coveredTo) await this.#snapshot(stream)', to: '' },
    ],
  },
  {
    name: 'jumping-cursor',
    why: 'subscribing a plain filter again moves its place to the head',
    store: 'level',
    theme: themeOf('everything'),
    changes: [
      {
        file: 'broker/session.ts',
        from: 'const old = cursor.filters.get(text)\n',
        to: 'const old = cursor.filters.get(text)\n    if (old) cursor.next = stream.headSeq + 1\n',
      },
    ],
  },
  {
    name: 'no-fence',
    why: 'who was taken over on another node goes on',
    store: 'mongo-stub',
    theme: themeOf('hints'),
    changes: [
      {
        file: 'broker/sessions.ts',
        from: 'if (holder && holder.tenure <= upTo) holder.close(',
        to: 'if (holder && holder.tenure < 0) holder.close(',
      },
    ],
  },
  {
    name: 'hint-as-truth',
    why: 'a hint of a new head is delivered from without reading the log',
    store: 'mongo-stub',
    theme: themeOf('hints'),
    changes: [
      {
        file: 'log/log.ts',
        from: 'if (stream?.loaded && hint.seq > stream.headSeq) this.#catchUp.hinted(stream, hint.seq)',
        to: 'if (!stream?.loaded || hint.seq <= stream.headSeq) return\n      stream.headSeq = hint.seq\n      for (const follower of stream.followers) follower.moved(stream)',
      },
    ],
  },
  {
    name: 'half-relay',
    why: 'a message stands in the outbox, and is acknowledged, before it stands in the inbox',
    store: 'level',
    theme: themeOf('losses'),
    changes: [
      {
        file: 'log/relay.ts',
        from: 'this.#log.append(delivery.stream, own.after)\n    this.#log.append(outbox, own)',
        to: 'const { after } = own\n    own.after = undefined\n    this.#log.append(outbox, own)\n    setTimeout(() => this.#log.append(delivery.stream, after), 200)',
      },
    ],
  },
  {
    name: 'bridge-early-ack',
    why: 'the bridge acknowledges to AWS before the append',
    store: 'aws-iot',
    theme: themeOf('bridge'),
    changes: [
      {
        file: 'bridge/aws-iot/worker.ts',
        from: '    const { signal } = this.#visit\n    this.#underWay = ',
        to: "    const { signal } = this.#visit\n    const tell = done\n    done = () => {}\n    tell('taken')\n    this.#underWay = ",
      },
    ],
  },
  {
    name: 'forgotten-ids',
    why: 'a put that AWS brings again after its commit is not known by its id',
    store: 'aws-iot',
    theme: themeOf('bridge'),
    changes: [{ file: 'log/judge.ts', from: 'const known = fold.id(draft.from, draft.id)', to: 'const known = undefined' }],
  },
]

const copied = [
  'bin',
  'cli',
  'auth',
  'aws',
  'bridge',
  'broker',
  'conformance',
  'delivery',
  'log',
  'protocol',
  'seams',
  'hints',
  'bench',
  'index.ts',
  'package.json',
  'tsconfig.json',
]

/** Throws where no planted fault has the name. */
export function plantingOf(name: string): Planting {
  const planting = plantings.find((each) => each.name === name)
  if (!planting) throw new Error(`no planted fault is called ${name}; --plant list names them`)
  return planting
}

/** The servers of this checkout, compiled, with a fault planted into them where one is named. */
export function serversInto(folder: string, name: string | undefined): string {
  const root = fileURLToPath(new URL('../', import.meta.url))
  if (name === undefined) return compileInto(folder, root)
  const sources = plantInto(join(folder, 'sources'), root, name)
  compileInto(folder, sources)
  rmSync(sources, { recursive: true })
  return folder
}

/** Copies the sources and changes them; throws where the text to be changed is not there any more. Returns the folder. */
export function plantInto(folder: string, root: string, name: string): string {
  const planting = plantingOf(name)
  mkdirSync(folder, { recursive: true })
  for (const part of copied) cpSync(join(root, part), join(folder, part), { recursive: true, force: true })
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  for (const { file, from, to } of planting.changes) {
    const path = join(folder, file)
    const text = readFileSync(path, 'utf8')
    if (text.split(from).length !== 2) throw new Error(`${name}: ${file} does not hold exactly once: ${from}`)
    writeFileSync(
      path,
      text.replace(from, () => to),
    )
  }
  return folder
}
