/** docs/CLIENT.md names every option and bound of the SDK, with its default. */
import { expect } from 'chai'
import { bounds } from '../../client/bounds.ts'
import { read } from '../support/source-files.ts'

const guide = read('docs/CLIENT.md')
const api = read('client/api.ts')

describe('docs/CLIENT.md', () => {
  it('lists every bound with its default', () => {
    const rows = guide.split('\n').flatMap((line) => /^\| `(\w+)` \| (\d+) \|/.exec(line)?.slice(1, 3) ?? [])
    expect(rows).to.deep.equal(Object.entries(bounds).flatMap(([name, value]) => [name, String(value)]))
  })

  for (const name of ['ClientOptions', 'StreamOptions', 'EntriesOptions', 'PublishOptions', 'StateOptions', 'HistoryOptions', 'Status']) {
    it(`names every member of ${name}`, () => {
      const body = new RegExp(`export interface ${name} \\{\\n(.*?)\\n\\}`, 's').exec(api)?.[1] ?? ''
      const members = [...body.matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, member]) => member as string)
      expect(members.length).to.be.greaterThan(0)
      expect(members.filter((member) => !new RegExp(`\`[^\`\\n]*\\b${member}\\b[^\`\\n]*\``).test(guide))).to.deep.equal([])
    })
  }
})
