/** The documents agree with the code: clauses stand in order, all cited ones exist, tests hold all that can be tested; links and files named are there. */
import { existsSync } from 'node:fs'
import { join, posix } from 'node:path'
import { expect } from 'chai'
import { filesEndingIn, read, root } from '../support/source-files.ts'

/** Clauses that no test can hold, and why. Only those stand here that no test cites. */
const untestable: Readonly<Record<string, string>> = {
  'P-2.6': 'a rule for clients; the server cannot see whether they keep it',
  'P-8.11': 'promises nothing',
  'P-14.7': 'a rule for clients, for what a later release may add',
}

/** This file names clauses without testing them. */
const itself = 'test/docs/references.test.ts'

const protocol = read('docs/PROTOCOL.md')
const clauses = [...protocol.matchAll(/\*\*(P-\d+\.\d+)\*\*/g)].map(([, clause]) => clause as string)
const readme = read('README.md')

describe('references', () => {
  it('find every clause once, in its place', () => {
    expect(clauses).to.have.length.at.least(300)
    for (const [at, clause] of clauses.entries()) {
      const [chapter, number] = numbersOf(clause)
      const [chapterBefore, numberBefore] = at === 0 ? [1, 0] : numbersOf(clauses[at - 1] as string)
      expect(chapter === chapterBefore ? number === numberBefore + 1 : chapter === chapterBefore + 1 && number === 1, clause).to.equal(true)
    }
  })

  it('name clauses that there are', () => {
    const known = new Set(clauses)
    const missing = filesEndingIn('.ts', '.md').flatMap((path) =>
      citationsIn(read(path))
        .filter((clause) => !known.has(clause))
        .map((clause) => `${path}: ${clause}`),
    )
    expect(missing).to.deep.equal([])
  })

  it('from tests hold every clause, save those that no test can hold', () => {
    const tests = filesEndingIn('.ts').filter((path) => path.startsWith('test/') && path !== itself)
    const cited = new Set(tests.flatMap((path) => citationsIn(read(path))))
    expect(clauses.filter((clause) => !cited.has(clause))).to.deep.equal(Object.keys(untestable))
  })

  it('lead to files and headings that there are', () => {
    const links = filesEndingIn('.md').flatMap((path) =>
      [...read(path).matchAll(/\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]+))?[^)]*\)/g)].map(([, file, heading]) => ({ path, file, heading })),
    )
    expect(links).to.have.length.at.least(15)
    const broken = links.filter(({ path, file = '', heading }) => {
      const target = file === '' ? path : posix.join(posix.dirname(path), file)
      return !existsSync(join(root, target)) || (heading !== undefined && !headingsOf(target).includes(heading))
    })
    expect(broken).to.deep.equal([])
  })

  it('from the README name test files that there are', () => {
    const named = [...readme.matchAll(/npx mocha '?(test\/[\w./-]+\.test\.ts)/g)].map(([, path]) => path as string)
    expect(named).to.have.length.at.least(5)
    expect(named.filter((path) => !existsSync(join(root, path)))).to.deep.equal([])
  })
})

/** Citations, ranges spelled out: `P-1.15 to P-1.19`, `P-2.2 – P-2.4`. */
function citationsIn(text: string): string[] {
  const found: string[] = []
  for (const [, first, last] of text.matchAll(/\b(P-\d+\.\d+)(?:\s*(?:–|to|-)\s*(P-\d+\.\d+))?/g)) {
    const [chapter, from] = numbersOf(first as string)
    const [chapterTo, to] = last === undefined ? [chapter, from] : numbersOf(last)
    if (chapterTo !== chapter) found.push(first as string, last as string)
    else for (let number = from; number <= to; number++) found.push(`P-${chapter}.${number}`)
  }
  return found
}

function numbersOf(clause: string): [number, number] {
  return clause.slice('P-'.length).split('.').map(Number) as [number, number]
}

/** As GitHub names them. */
function headingsOf(path: string): string[] {
  if (!path.endsWith('.md')) return []
  return [...read(path).matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
    (title as string)
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(/\s/g, '-'),
  )
}
