/** The style of this repository, as far as a machine can see it. */
import { posix } from 'node:path'
import { expect } from 'chai'
import { codeOf, filesEndingIn, importsOf, read } from './support/source-files.ts'

/** What each folder may import of ours, beside itself. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  seams: [],
  log: ['protocol', 'seams'],
  hints: ['seams'],
  auth: ['protocol', 'seams'],
  delivery: ['log', 'protocol', 'seams'],
  broker: ['delivery', 'log', 'auth', 'protocol', 'seams'],
  bridge: ['delivery', 'log', 'auth', 'protocol', 'seams'],
  // `tidemark bench` runs the loads of bench/.
  // `tidemark aws` makes in an account what aws/account describes.
  cli: ['broker', 'bridge', 'delivery', 'log', 'hints', 'auth', 'protocol', 'seams', 'bench', 'conformance', 'aws'],
  client: ['protocol'],
  // What is put into an account, apart from the server.
  aws: ['auth', 'protocol', 'seams'],
  console: ['client', 'protocol'],
  bench: ['broker', 'bridge', 'log', 'hints', 'auth', 'protocol', 'seams', 'cli', 'client', 'test'],
  // Judges the product from outside: it starts programs, of test/ the stubs of a database and of AWS, and talks to ports, or lets the SDK talk.
  chaos: ['client', 'test'],
  // Judges any deployment from outside, so it takes nothing from the server that it judges.
  conformance: [],
  examples: ['client', 'protocol', '.'],
  test: [
    'broker',
    'bridge',
    'delivery',
    'log',
    'hints',
    'auth',
    'aws',
    'protocol',
    'seams',
    'cli',
    'client',
    'console',
    'bench',
    'chaos',
    'conformance',
    'examples',
    '.',
  ],
  '.': ['cli', 'log', 'protocol'],
}

/** aedes is behind these two. */
const knowAedes: readonly string[] = ['broker/engine.ts', 'auth/aedes-hooks.ts']

/** Begun by something else than an import. */
const entries: readonly RegExp[] = [
  /^index\.ts$/,
  /^cli\/main\.ts$/,
  /^[a-z]+\/index\.ts$/,
  /^client\/(?:encryption|node|react)\.ts$/,
  /\.test\.ts$/,
  /^bench\/(?:scale\/)?run\.ts$/,
  /^chaos\/run\.ts$/,
  /^aws\/cold-start\.ts$/,
  /^examples\//,
]

const linesMax = 400

/** Longer files: how long they may be, and why. Only those stand here that are. */
const longFiles: Readonly<Record<string, { readonly max: number; readonly why: string }>> = {
  'broker/link.ts': { max: 430, why: 'one connection from its first byte to its last: its states are read in one place' },
  'test/broker/plain.test.ts': { max: 450, why: 'one chapter of the protocol, clause by clause' },
  'test/broker/sessions.test.ts': { max: 500, why: 'one chapter of the protocol, clause by clause' },
  'test/log/level.test.ts': { max: 430, why: 'one store, and everything that a disk can do to it' },
  'test/broker/two-nodes.test.ts': { max: 480, why: 'one store, two servers, and everything that can go wrong between them' },
  'test/broker/regressions.test.ts': { max: 660, why: 'one test per finding, each against stock aedes as well' },
}

/** Tests that let time pass on purpose. */
const sleepers: Readonly<Record<string, string>> = {
  'test/aws/account-questions.ts': 'a policy and a signed URL end, and AWS tells nobody',
  'test/chaos/stub-server.ts': 'answers late, as a database whose majority is away',
  'test/durability/crash.long.test.ts': 'the moment of the kill is random',
  'test/durability/support/waiting.ts': 'looks at another process again and again',
  'test/support/aws/queues.ts': 'looks into a queue again and again, for a server that waits',
  'test/bridge/problems.test.ts': 'gives a stalled reader the time to be noticed',
  'test/bridge/publish.test.ts': 'looks again until a request waits inside',
  'test/bridge/operations.test.ts': 'shows that something does not happen yet',
}

/** Bounds that are none of the server's waits, queues and caches, and what they are. */
const otherBounds: Readonly<Record<string, string>> = {
  'hints/message.ts': 'what MQTT can carry',
  'log/backup.ts': 'the form of a backup',
  'log/contents.ts': 'how much a command reads at once',
  'log/filler.ts': 'how much a command writes at once',
  'log/inbox-sizes.ts': 'the form of a snapshot',
  'log/stores/durable-folder.ts': 'what file systems do',
  'log/stores/level-tables.ts': 'the form of a table',
  'log/stores/level-view.ts': 'how often a command tries',
  'log/stores/mongo-buckets.ts': 'how large one command to the database is',
  'log/stream-quota.ts': 'an hour',
  'log/verify-stream.ts': 'how much a command reads at once, and tells',
  'log/verify.ts': 'how much a command reads at once, and tells',
}

const sources = filesEndingIn('.ts').filter((path) => !path.startsWith('test/'))
const tests = filesEndingIn('.ts').filter((path) => path.startsWith('test/'))
const all = [...sources, ...tests]

describe('tidy', () => {
  it('looks at the whole repository', () => {
    expect(sources.length).to.be.at.least(150)
    expect(tests.length).to.be.at.least(60)
    const folders = new Set(all.map(folderOf))
    expect(
      [...folders].filter((folder) => !(folder in arrows)),
      'folders without a rule',
    ).to.deep.equal([])
  })

  it('imports along the arrows between folders only', () => {
    let looked = 0
    const against = all.flatMap((path) =>
      relativeImports(path).flatMap((imported) => {
        looked++
        const [from, to] = [folderOf(path), folderOf(imported)]
        return from === to || arrows[from]?.includes(to) ? [] : [`${path} → ${imported}`]
      }),
    )
    expect(against).to.deep.equal([])
    expect(looked).to.be.at.least(500)
  })

  it('knows aedes in two files', () => {
    const know = sources.filter(
      (path) => importsOf(read(path)).some((specifier) => /^aedes(\/|$|-)/.test(specifier)) && !/^(bench|examples)\//.test(path),
    )
    expect(know.sort()).to.deep.equal([...knowAedes].sort())
  })

  // It takes 0.2 s, which only those should wait for whose store is a MongoDB.
  it('loads the MongoDB driver only where it is used', () => {
    expect(sources.filter((path) => /^import (?!type\b).*from 'mongodb'/m.test(read(path)))).to.deep.equal([])
  })

  it('has no file that nobody imports', () => {
    const imported = new Set(all.flatMap(relativeImports))
    const mentioned = (path: string): boolean => imported.has(path) || entries.some((entry) => entry.test(path)) || isSpawned(path)
    expect(all.filter((path) => !mentioned(path))).to.deep.equal([])
  })

  it('builds everything that the package promises', () => {
    const { exports } = JSON.parse(read('package.json')) as { exports: Readonly<Record<string, string | { readonly default: string }>> }
    const missing = Object.values(exports).flatMap((target) => {
      const path = typeof target === 'string' ? target : target.default
      const source = path.replace('./dist/', '').replace(/\.js$/, '.ts').replace('./', '')
      return source === 'package.json' || sources.includes(source) ? [] : [`${path}, which would be made from ${source}`]
    })
    expect(missing).to.deep.equal([])
  })

  it(`has no file of more than ${linesMax} lines without a reason`, () => {
    const long = all.map((path) => ({ path, lines: read(path).split('\n').length - 1 })).filter(({ lines }) => lines > linesMax)
    const tooLong = long.filter(({ path, lines }) => lines > (longFiles[path]?.max ?? linesMax))
    expect(tooLong.map(({ path, lines }) => `${path}: ${lines} lines`)).to.deep.equal([])
    for (const path of Object.keys(longFiles)) {
      expect(all.includes(path) && !long.some((file) => file.path === path), `${path} is no longer long: take it off the list`).to.equal(
        false,
      )
    }
  })

  it('has every wait, queue and cache of the server in one file', () => {
    const bound = /^(?:export )?const \w*(?:Max|Min|Ms)(?:Default)?(?:: number)? = [\d_ *]+$/m
    const server = sources.filter((path) => /^(log|delivery|broker|bridge|auth|hints)\//.test(path))
    expect(server.filter((path) => bound.test(codeOf(read(path))))).to.have.members(Object.keys(otherBounds))
    expect(bound.test(read('seams/limits.ts'))).to.equal(true)
  })

  forbid('any', all, /(?:[:<=|&,(]|\bas)\s*any(?![\w$'(])|\bany\[\]/)
  forbid('a default export', all, /\bexport\s+default\b|\bexport\s*\{[^}]*\bas default\b/)
  forbid(
    'the console outside cli/',
    // The SDK warns on the console of the page, where the app gives it nothing else.
    sources.filter((path) => !/^(cli|bench|chaos|examples)\//.test(path) && path !== 'client/client.ts'),
    /\bconsole\./,
  )
  forbid('a test that runs alone', tests, /\b(?:describe|it|suite|test|context)\.only\(/)
  forbid('a test that is left out', tests, /\b(?:describe|it|suite|test)\.skip\(|\bx(?:it|describe)\(/)

  it('skips tests loudly only', () => {
    const silent = tests.filter((path) => {
      const lines = read(path).split('\n')
      return lines.some(
        (line, at) => /\b(?:this|context)\.skip\(\)/.test(line) && !/SKIPPED/.test(lines.slice(Math.max(0, at - 4), at + 1).join('\n')),
      )
    })
    expect(silent.filter((path) => path !== 'test/tidy.test.ts')).to.deep.equal([])
  })

  it('leaves no notes to itself, and no path of one machine', () => {
    const notes = /\b(?:TO[D]O|FIX[M]E|X[X]X)\b/
    const machine = /(?<![\w.:/-])\/(?:root|home|Users|work|mnt)\/\w/
    const texts = filesEndingIn('.ts', '.md', '.json', '.c', '.js', '.py').filter((path) => path !== 'package-lock.json')
    const found = texts.flatMap((path) =>
      read(path)
        .split('\n')
        .flatMap((line, at) => (notes.test(line) || machine.test(line) ? [`${path}:${at + 1}: ${line.trim()}`] : [])),
    )
    expect(found).to.deep.equal([])
  })

  it('waits for events in tests, and does not sleep', () => {
    const sleep = /setTimeout\(\s*(?:resolve|\(\)\s*=>\s*resolve\(\))|\bsetTimeout\b[^}\n]*\} from 'node:timers\/promises'|\bsleep\(/
    const found = tests.filter((path) => path !== 'test/tidy.test.ts' && sleep.test(read(path)))
    expect(found.filter((path) => !(path in sleepers) && path !== 'test/attacks/garbage-wires.ts')).to.deep.equal([])
    for (const path of Object.keys(sleepers)) {
      if (tests.includes(path)) expect(found.includes(path), `${path} sleeps no longer: take it off the list`).to.equal(true)
    }
  })
})

function forbid(what: string, paths: readonly string[], pattern: RegExp): void {
  it(`is without ${what}`, () => {
    const found = paths.flatMap((path) =>
      codeOf(read(path))
        .split('\n')
        .flatMap((line, at) => (pattern.test(line) ? [`${path}:${at + 1}: ${line.trim()}`] : [])),
    )
    expect(found).to.deep.equal([])
  })
}

/** The first folder of a path, or `.` for files of the root. */
function folderOf(path: string): string {
  return path.includes('/') ? (path.split('/')[0] as string) : '.'
}

function relativeImports(path: string): string[] {
  return importsOf(read(path))
    .filter((specifier) => specifier.startsWith('.') && specifier.endsWith('.ts'))
    .map((specifier) => posix.join(posix.dirname(path), specifier))
}

/** Child processes are named in a text, with or without the ending. */
function isSpawned(path: string): boolean {
  const name = posix.basename(path, '.ts')
  const named = new RegExp(`['/\`]${name}(?:\\.ts)?['\`]`)
  return all.some((other) => other !== path && named.test(read(other)))
}
