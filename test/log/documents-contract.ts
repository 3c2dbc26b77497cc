/** What the small records beside the log must do, whatever keeps them. */
import { expect } from 'chai'
import type { Documents } from '../../seams/documents.ts'

export function documentsContract(documents: () => Documents): void {
  describe('its documents', () => {
    it('come back as JSON has them, by collection and key', async () => {
      const value = { text: 'Größe \u{1f600}', list: [1, null, { deep: true }], number: 1.5 }
      expect(await documents().get('sessions', 'alice/phone')).to.equal(undefined)
      expect(await documents().put('sessions', 'alice/phone', value)).to.equal('stored')
      await documents().put('wills', 'alice/phone', 'other')
      expect(await documents().get('sessions', 'alice/phone')).to.deep.equal({ key: 'alice/phone', value, generation: 0, owner: '' })
      expect((await documents().get('wills', 'alice/phone'))?.value).to.equal('other')
      expect(await documents().get('sessions', 'alice/phon')).to.equal(undefined)
      expect(await documents().remove('sessions', 'alice/phone')).to.equal('stored')
      expect(await documents().remove('sessions', 'alice/phone')).to.equal('stored')
      expect(await documents().get('sessions', 'alice/phone')).to.equal(undefined)
      expect((await documents().get('wills', 'alice/phone'))?.value).to.equal('other')
    })

    it('are no window into the value that was stored', async () => {
      const value = { list: [1] }
      await documents().put('sessions', 'a', value)
      value.list.push(2)
      const read = (await documents().get('sessions', 'a'))?.value as { list: number[] }
      expect(read.list).to.deep.equal([1])
      read.list.push(3)
      expect((await documents().get('sessions', 'a'))?.value).to.deep.equal({ list: [1] })
      for (const listed of await documents().list('sessions', { limit: 1 })) (listed.value as { list: number[] }).list.push(4)
      const claimed = (await documents().claim('sessions', 'a', 'me')).value as { list: number[] }
      expect(claimed).to.deep.equal({ list: [1] })
      claimed.list.push(5)
      expect((await documents().get('sessions', 'a'))?.value).to.deep.equal({ list: [1] })
    })

    it('have one owner at a time: the newest claim', async () => {
      const first = await documents().claim('sessions', 'a', 'node-1')
      expect(first).to.deep.equal({ key: 'a', value: null, generation: 1, owner: 'node-1' })
      expect(await documents().put('sessions', 'a', 'one', first.generation)).to.equal('stored')
      const second = await documents().claim('sessions', 'a', 'node-2')
      expect(second).to.deep.equal({ key: 'a', value: 'one', generation: 2, owner: 'node-2' })
      expect(await documents().put('sessions', 'a', 'late', first.generation)).to.equal('fenced')
      expect(await documents().remove('sessions', 'a', first.generation)).to.equal('fenced')
      expect(await documents().get('sessions', 'a')).to.deep.equal({ key: 'a', value: 'one', generation: 2, owner: 'node-2' })
      expect(await documents().put('sessions', 'a', 'two', second.generation)).to.equal('stored')
      expect(await documents().remove('sessions', 'a', second.generation)).to.equal('stored')
      expect(await documents().get('sessions', 'a')).to.equal(undefined)
    })

    it('keep generation and owner through a write that names none', async () => {
      await documents().claim('sessions', 'a', 'node-1')
      expect(await documents().put('sessions', 'a', 'plain')).to.equal('stored')
      expect(await documents().get('sessions', 'a')).to.deep.equal({ key: 'a', value: 'plain', generation: 1, owner: 'node-1' })
    })

    it('take calls on one key in the order of the calls', async () => {
      const puts = Array.from({ length: 100 }, (_, index) => documents().put('sessions', 'a', index))
      const claim = documents().claim('sessions', 'a', 'node-1')
      const late = documents().put('sessions', 'a', 'late', 0)
      const owned = documents().put('sessions', 'a', 'owned', 1)
      await Promise.all(puts)
      expect((await claim).value).to.equal(99)
      expect(await late).to.equal('fenced')
      expect(await owned).to.equal('stored')
      expect((await documents().get('sessions', 'a'))?.value).to.equal('owned')
      const claims = await Promise.all(Array.from({ length: 20 }, (_, index) => documents().claim('sessions', 'b', `node-${index}`)))
      expect(claims.map(({ generation }) => generation)).to.deep.equal(Array.from({ length: 20 }, (_, index) => index + 1))
    })

    it('tell which collections hold any', async () => {
      const made = ['sessions', 'qos2', 'wills', 'a', 'session']
      const before = await documents().collections()
      expect(made.filter((name) => before.includes(name))).to.deep.equal([])
      for (const name of made) for (const key of ['a', 'a/b', '\u{1f600}']) await documents().put(name, key, 1)
      await documents().remove('a', 'a')
      expect(await documents().collections()).to.deep.equal([...before, ...made].toSorted())
      for (const key of ['a/b', '\u{1f600}']) await documents().remove('a', key)
      expect(await documents().collections()).to.not.include('a')
    })

    describe('are listed in the order of their keys as UTF-8', () => {
      // As UTF-16 the emoji comes before the two characters in front of it here.
      const keys = ['a', 'a/b', 'a/c', 'aé', 'b', 'z', '\u00e9', '\u4e2d', '\uff5e', '\uffee', '\u{1f600}', '\u{1f600}/x']

      beforeEach(async () => {
        await Promise.all(keys.toReversed().map((key) => documents().put('listed', key, key)))
        await Promise.all(['liste', 'listed2', 'lister'].map((collection) => documents().put(collection, 'a', 'elsewhere')))
      })

      async function listed(options: { prefix?: string; after?: string; limit?: number }): Promise<string[]> {
        const found = await documents().list('listed', { limit: 100, ...options })
        for (const { key, value } of found) expect(value).to.equal(key)
        return found.map(({ key }) => key)
      }

      it('the keys of this test stand in that order', () => {
        expect(keys).to.deep.equal(keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))))
        expect(keys).to.not.deep.equal(keys.toSorted())
      })

      it('all of them, or as many as asked for', async () => {
        expect(await listed({})).to.deep.equal(keys)
        for (let limit = 1; limit <= keys.length; limit++) expect(await listed({ limit })).to.deep.equal(keys.slice(0, limit))
      })

      it('page by page', async () => {
        for (const size of [1, 2, 3, 5]) {
          const found: string[] = await listed({ limit: size })
          for (let page = found; page.length > 0; found.push(...page)) page = await listed({ after: found.at(-1) as string, limit: size })
          expect(found).to.deep.equal(keys)
        }
      })

      it('after any key and below any prefix', async () => {
        const compare = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))
        for (const prefix of ['', ...keys, 'none', '\ud7ff']) {
          for (const after of ['', ...keys, 'aa', '\u{1f601}']) {
            const expected = keys.filter((key) => key.startsWith(prefix) && (after === '' || compare(key, after) > 0))
            expect(await listed({ prefix, after }), JSON.stringify({ prefix, after })).to.deep.equal(expected)
          }
        }
      })
    })
  })
}
