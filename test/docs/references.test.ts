/** The protocol's clauses stand in order, and all but a few are tested; links to headings find them. */
import { existsSync } from 'node:fs'
import { join, posix } from 'node:path'
import { expect } from 'chai'
import { filesEndingIn, read, root } from '../support/source-files.ts'

/** Clauses of chapters 1 to 13 that no test cites. This number only goes down. */
const untestedMax = 60
const chaptersTested = 13

const protocol = read('docs/PROTOCOL.md')
const clauses = [...protocol.matchAll(/\*\*(P-\d+\.\d+)\*\*/g)].map(([, clause]) => clause as string)

describe('references', () => {
  it('finds every clause once', () => {
    expect(clauses).to.have.length.at.least(300)
    expect(clauses.filter((clause, at) => clauses.indexOf(clause) !== at)).to.deep.equal([])
    for (const [at, clause] of clauses.entries()) {
      const [chapter, number] = numbersOf(clause)
      const [chapterBefore, numberBefore] = at === 0 ? [1, 0] : numbersOf(clauses[at - 1] as string)
      expect(chapter === chapterBefore ? number === numberBefore + 1 : chapter === chapterBefore + 1 && number === 1, `${clause} is in its place`).to.equal(true)
    }
  })

  it('has a test for every clause, save the ones listed', () => {
    const cited = new Set(filesEndingIn('.test.ts', '.ts').filter((path) => path.startsWith('test/')).flatMap((path) => citationsIn(read(path))))
    const untested = clauses.filter((clause) => numbersOf(clause)[0] <= chaptersTested && !cited.has(clause))
    console.log(`      no test cites ${untested.length} clauses: ${untested.join(' ')}`)
    expect(untested.length).to.be.at.most(untestedMax)
  })

  it('links to headings that exist', () => {
    const links = filesEndingIn('.md').flatMap((path) => [...read(path).matchAll(/\]\(([^)\s#:]*)#([^)\s]+)\)/g)].map(([, file, heading]) => ({ path, file, heading })))
    const broken = links.filter(({ path, file = '', heading = '' }) => {
      const target = file === '' ? path : posix.join(posix.dirname(path), file)
      return !existsSync(join(root, target)) || !headingsOf(target).includes(heading)
    })
    expect(broken).to.deep.equal([])
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
