/** What every implementation of the hints' seam must do, and that the unreliable one is as bad as the seam allows. */
import { expect } from 'chai'
import { noHints, type Hint, type Hints } from '../../seams/hints.ts'
import { deafHintHub, flakyHintHub, hintHub, type HintHub } from '../support/hints.ts'
import { redisHubs } from '../support/redis.ts'

const head = (seq: number, stream = 'users/alice'): Hint => ({ type: 'head', stream, seq })
const every: readonly Hint[] = [
  head(1),
  { type: 'ephemeral', stream: 'users/alice', topic: 'users/alice/a', payload: Buffer.from([0, 255]), from: 'alice', client: 'desk' },
  { type: 'takeover', session: 'alice/phone', generation: 7 },
  { type: 'revoked' },
]

function heardBy(node: Hints): { readonly hints: Hint[]; readonly leave: () => void } {
  const hints: Hint[] = []
  return { hints, leave: node.listen((hint) => void hints.push(hint)) }
}

const seqs = (hints: readonly Hint[]): number[] => hints.map((hint) => (hint.type === 'head' ? hint.seq : -1))

const hubs: readonly { name: string; begin: () => () => HintHub; brings: boolean }[] = [
  { name: 'the reliable hub', begin: () => hintHub, brings: true },
  { name: 'the flaky hub', begin: () => () => flakyHintHub(4_711), brings: true },
  { name: 'the deaf hub', begin: () => deafHintHub, brings: false },
  { name: 'Redis', begin: redisHubs, brings: true },
]

for (const { name, begin, brings } of hubs) {
  describe(`Hints through ${name}`, () => {
    const make = begin()

    it('never come back to the node that sent them', async () => {
      const hub = make()
      const [a, b] = await Promise.all([hub.join(), hub.join()])
      const [atA, atB] = [heardBy(a), heardBy(b)]
      for (let seq = 1; seq <= 200; seq++) a.send(head(seq))
      await hub.settled()
      expect(atA.hints).to.deep.equal([])
      expect(atB.hints.length > 0).to.equal(brings)
    })

    it('are what was sent, every kind of them, and nothing else', async () => {
      const hub = make()
      const [a, b, c] = await Promise.all([hub.join(), hub.join(), hub.join()])
      const heard = [heardBy(b), heardBy(c)]
      for (let round = 0; round < 50; round++) for (const hint of every) a.send(hint)
      await hub.settled()
      for (const { hints } of heard) {
        for (const hint of hints) expect(every).to.deep.include(hint)
        expect(new Set(hints.map(({ type }) => type)).size).to.equal(brings ? every.length : 0)
      }
    })

    it('share nothing with their sender', async () => {
      const hub = make()
      const [a, b] = await Promise.all([hub.join(), hub.join()])
      const { hints } = heardBy(b)
      const payload = Buffer.from('before')
      for (let round = 0; round < 20; round++) a.send({ ...(every[1] as Hint & { type: 'ephemeral' }), payload })
      payload.write('AFTER!')
      await hub.settled()
      for (const hint of hints) expect(hint.type === 'ephemeral' && hint.payload.toString()).to.equal('before')
      expect(hints.length > 0).to.equal(brings)
    })

    it('reach every listener until it leaves, also those on their way', async () => {
      const hub = make()
      const [a, b] = await Promise.all([hub.join(), hub.join()])
      const [stays, leaves] = [heardBy(b), heardBy(b)]
      for (let seq = 1; seq <= 100; seq++) a.send(head(seq))
      await hub.settled()
      expect(leaves.hints).to.deep.equal(stays.hints)
      const before = leaves.hints.length
      for (let seq = 101; seq <= 200; seq++) a.send(head(seq))
      leaves.leave()
      leaves.leave()
      await hub.settled()
      expect(leaves.hints).to.have.length(before)
      expect(stays.hints.length > before).to.equal(brings)
    })

    it('neither come from nor go to a node that has closed; the others go on', async () => {
      const hub = make()
      const [a, b, c] = await Promise.all([hub.join(), hub.join(), hub.join()])
      const [atB, atC] = [heardBy(b), heardBy(c)]
      for (let seq = 1; seq <= 100; seq++) a.send(head(seq))
      await b.close()
      await b.close()
      for (let seq = 1_001; seq <= 1_100; seq++) b.send(head(seq))
      for (let seq = 101; seq <= 200; seq++) a.send(head(seq))
      await hub.settled()
      expect(atB.hints).to.deep.equal([])
      expect(seqs(atC.hints).some((seq) => seq > 1_000)).to.equal(false)
      expect(seqs(atC.hints).some((seq) => seq > 100)).to.equal(brings)
    })

    it('cost a node nothing that nobody listens to', async () => {
      const hub = make()
      const [a] = await Promise.all([hub.join(), hub.join()])
      for (const hint of every) a.send(hint)
      await hub.settled()
    })
  })
}

describe('The reliable hub', () => {
  it('brings each hint once and in order to every other node', async () => {
    const hub = hintHub()
    const [a, b, c] = await Promise.all([hub.join(), hub.join(), hub.join()])
    const [atA, atB, atC] = [heardBy(a), heardBy(b), heardBy(c)]
    for (let seq = 1; seq <= 100; seq++) (seq % 2 === 0 ? a : b).send(head(seq))
    expect(atC.hints).to.deep.equal([]) // Never in the turn of the sender.
    await hub.settled()
    const all = Array.from({ length: 100 }, (_unused, index) => index + 1)
    expect(seqs(atC.hints)).to.deep.equal(all)
    expect(seqs(atA.hints)).to.deep.equal(all.filter((seq) => seq % 2 === 1))
    expect(seqs(atB.hints)).to.deep.equal(all.filter((seq) => seq % 2 === 0))
  })
})

describe('The flaky hub', () => {
  async function sendAll(seed: number): Promise<number[]> {
    const hub = flakyHintHub(seed)
    const [a, b] = await Promise.all([hub.join(), hub.join()])
    const { hints } = heardBy(b)
    for (let seq = 1; seq <= 1_000; seq++) a.send(head(seq))
    await hub.settled()
    return seqs(hints)
  }

  it('loses, doubles, delays and reorders', async () => {
    const heard = await sendAll(1)
    const distinct = new Set(heard)
    expect(distinct.size).to.be.within(400, 900)
    expect(heard.length - distinct.size).to.be.above(50)
    let newest = 0
    const late = heard.filter((seq) => seq < (newest = Math.max(newest, seq)))
    expect(late.length).to.be.above(100)
  })

  it('does the same for the same seed', async () => {
    expect(await sendAll(2)).to.deep.equal(await sendAll(2))
    expect(await sendAll(2)).not.to.deep.equal(await sendAll(3))
  })
})

describe('Hints of a node that is alone', () => {
  it('go nowhere', async () => {
    const { hints, leave } = heardBy(noHints)
    for (const hint of every) noHints.send(hint)
    leave()
    await noHints.close()
    expect(hints).to.deep.equal([])
  })
})
