/** The tables of the protocol say what the code says: error codes of chapter 12, limits of chapter 13. */
import { expect } from 'chai'
import { configFrom, resolveConfig } from '../../cli/config.ts'
import { errorTable } from '../../protocol/errors.ts'
import {
  defaultLimits,
  jwksRefetchMs,
  revocationDelayMs,
  tokenAheadMs,
  tokenLifetimeMs,
  type Limits,
} from '../../seams/limits.ts'
import { read } from '../support/source-files.ts'

const protocol = read('docs/PROTOCOL.md')
const fixed: Readonly<Record<string, number>> = { tokenLifetimeMs, tokenAheadMs, jwksRefetchMs, revocationDelayMs }

/** The cells of the table rows whose second cell is a name in code style, within one chapter. */
function rowsOf(chapter: number): string[][] {
  const rows = protocol.split('\n').filter((line) => new RegExp(`^\\| \\*\\*P-${chapter}\\.\\d+\\*\\* \\| \`[\\w-]+\` \\|`).test(line))
  return rows.map((line) => line.split('|').map((cell) => cell.trim().replaceAll('`', '')))
}

describe('tables of the protocol', () => {
  it('[P-12.2, P-12.3, P-12.22] list every error code, with its HTTP status and what a retry is worth', () => {
    const documented = rowsOf(12).map(([, , code, status, , retry]) => [code, Number(status), retry])
    const inCode = Object.entries(errorTable).map(([code, { status, retry }]) => [code, status, retry])
    expect(documented).to.have.deep.members(inCode)
  })

  it('[P-13.1] list limits by the names and defaults that they have', () => {
    const rows = rowsOf(13)
    expect(rows).to.have.length.at.least(40)
    for (const [, , name, text] of rows as [string, string, string, string][]) {
      const isFixed = text.includes('(fixed)')
      const value = isFixed ? fixed[name] : defaultLimits[name as keyof Limits]
      expect(value, name).to.equal(Number.parseInt(text, 10))
      // Whole days and minutes say so in words, too.
      const [, count, unit] = /\((\d+) (d|min)\)/.exec(text) ?? []
      if (count !== undefined) expect(value, text).to.equal(Number(count) * (unit === 'd' ? 86_400_000 : 60_000))
    }
  })

  it('[P-13.1] allow every limit to be raised and lowered, save the fixed ones', () => {
    for (const [, , name, text] of rowsOf(13) as [string, string, string, string][]) {
      if (text.includes('(fixed)')) {
        expect(() => resolveConfig({ flags: { limits: { [name]: '1' } } }), name).to.throw(`unknown setting limits.${name}`)
        continue
      }
      const value = defaultLimits[name as keyof Limits]
      for (const other of [value + 1, value - 1]) expect(configFrom({ limits: { [name]: other } }).limits, name).to.include({ [name]: other })
    }
  })

  it('[P-13.1] say 0 for no bound per user', () => {
    const perUser = rowsOf(13).flatMap(([, , name = '']) => (name.includes('PerUser') ? [name] : []))
    expect(perUser).to.have.length(3)
    for (const name of perUser) expect(configFrom({ limits: { [name]: 0 } }).limits, name).to.include({ [name]: 0 })
  })

  it('[P-13.38] leave no setting that would make a revocation known too late', () => {
    expect(defaultLimits.revocationPollMs * 2).to.be.at.most(revocationDelayMs)
    expect(() => configFrom({ limits: { revocationPollMs: revocationDelayMs } })).to.throw('limits.revocationPollMs')
  })
})
