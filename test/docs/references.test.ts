/** What code, docs and tests cite exists; what the protocol promises is tested; links lead somewhere. */
import { existsSync } from 'node:fs'
import { join, posix } from 'node:path'
import { expect } from 'chai'
import { filesEndingIn, read, root } from '../support/source-files.ts'

/** Clauses of chapters 1 to 13 that no test cites. This number only goes down. */
const untestedMax = 80
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

  it('cites clauses that exist only', () => {
    const known = new Set(clauses)
    let looked = 0
    const unknown = filesEndingIn('.ts', '.md', '.c').flatMap((path) =>
      citationsIn(read(path)).flatMap((clause) => {
        looked++
        return known.has(clause) ? [] : [`${path}: ${clause}`]
      }),
    )
    expect(unknown).to.deep.equal([])
    expect(looked).to.be.at.least(800)
  })

  it('has a test for every clause, save the ones listed', () => {
    const cited = new Set(filesEndingIn('.test.ts', '.ts').filter((path) => path.startsWith('test/')).flatMap((path) => citationsIn(read(path))))
    const untested = clauses.filter((clause) => numbersOf(clause)[0] <= chaptersTested && !cited.has(clause))
    console.log(`      no test cites ${untested.length} clauses: ${untested.join(' ')}`)
    expect(untested.length).to.be.at.most(untestedMax)
  })

  it('links to files and headings that exist', () => {
    let looked = 0
    const broken = filesEndingIn('.md').flatMap((path) =>
      [...read(path).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link]) => {
        const [file, heading] = (link as string).split('#') as [string, string | undefined]
        if (/^[a-z]+:/.test(file)) return []
        looked++
        const target = file === '' ? path : posix.join(posix.dirname(path), file)
        if (!existsSync(join(root, target))) return [`${path}: ${link}`]
        return heading === undefined || headingsOf(target).includes(heading) ? [] : [`${path}: ${link} (no such heading)`]
      }),
    )
    expect(broken).to.deep.equal([])
    expect(looked).to.be.at.least(10)
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
