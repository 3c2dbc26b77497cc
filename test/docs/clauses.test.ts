/** The documents agree with the code: every clause cited exists, every clause is held by a test, every link leads somewhere. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { execFileSync } from 'node:child_process'
import { expect } from 'chai'

const root = resolve(import.meta.dirname, '../..')
const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.ts', '*.md'], { cwd: root, encoding: 'utf8' }).split('\n').filter((file) => file !== '')
const protocol = readFileSync(join(root, 'docs/PROTOCOL.md'), 'utf8')
const clauses = new Set([...protocol.matchAll(/\*\*(P-\d+\.\d+)\*\*/g)].map((match) => match[1] as string))

/** Clauses of chapters 1 to 13 that no test cites. The number only goes down. */
const uncitedMax = 150

function cited(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  const found: string[] = []
  for (const [, first, last] of text.matchAll(/\bP-(\d+\.\d+)(?: (?:–|-|to) P-(\d+\.\d+))?/g)) {
    found.push(`P-${first}`)
    if (last === undefined) continue
    const [chapter, from] = (first as string).split('.').map(Number) as [number, number]
    for (let clause = from + 1; clause <= Number(last.split('.')[1]); clause++) found.push(`P-${chapter}.${clause}`)
  }
  return found
}

describe('documents', () => {
  it('number every clause once', () => {
    const all = [...protocol.matchAll(/\*\*(P-\d+\.\d+)\*\*/g)].map((match) => match[1])
    expect(all.length).to.be.greaterThan(300)
    expect(all.length).to.equal(clauses.size)
  })

  it('have every clause that code, tests and documents cite', () => {
    const missing = files.flatMap((file) => cited(file).filter((clause) => !clauses.has(clause)).map((clause) => `${file}: ${clause}`))
    expect(missing).to.deep.equal([])
  })

  it('make promises that tests hold', () => {
    const held = new Set(files.filter((file) => file.startsWith('test/')).flatMap(cited))
    const uncited = [...clauses].filter((clause) => !held.has(clause) && !clause.startsWith('P-14.'))
    expect(uncited.length, `no test cites ${uncited.join(' ')}`).to.be.at.most(uncitedMax)
  })

  it('link to what is there', () => {
    const broken = files
      .filter((file) => file.endsWith('.md'))
      .flatMap((file) =>
        [...readFileSync(join(root, file), 'utf8').matchAll(/\]\((?!https?:|#|mailto:)([^)#]+)/g)]
          .map((match) => match[1] as string)
          .filter((link) => !existsSync(resolve(root, dirname(file), link)))
          .map((link) => `${file}: ${link}`),
      )
    expect(broken).to.deep.equal([])
  })

  it('name test files in the README that exist', () => {
    const readme = readFileSync(join(root, 'README.md'), 'utf8')
    const named = [...readme.matchAll(/npx mocha '?(test\/[\w./-]+\.test\.ts)/g)].map((match) => match[1] as string)
    expect(named.length).to.be.at.least(5)
    expect(named.filter((file) => !existsSync(join(root, file)))).to.deep.equal([])
  })
})
