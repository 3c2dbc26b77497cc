import { expect } from 'chai'
import { drawNonce, markOf } from '../../log/bucket.ts'
import type { Condition, Draft } from '../../log/draft.ts'
import type { Entry } from '../../log/entry.ts'
import { Fold } from '../../log/fold.ts'
import { Judge } from '../../log/judge.ts'
import { defaultLimits } from '../../seams/limits.ts'
import { bucketOf, draftOf, type DraftOptions } from './buckets.ts'

const epoch = 'epoch-01'
const topic = 'spaces/s/t'
const none: Condition = { is: 'none' }

/** Appends drafts one bucket after another, as the log does, and tells what became of each. */
class Bench {
  readonly fold: Fold
  readonly #ts: number
  mark = ''

  constructor(window: Partial<typeof defaultLimits> = {}, ts = 1_000) {
    this.fold = new Fold({ ...defaultLimits, ...window })
    this.#ts = ts
  }

  bucket(...list: DraftOptions[]): Outcome[] {
    const nonce = drawNonce()
    this.mark = markOf(nonce)
    const firstSeq = this.fold.seq + 1
    const judge = new Judge(this.fold, { epoch, nextSeq: firstSeq, mark: this.mark, nonce, ts: this.#ts })
    const accepted: Draft[] = []
    const outcomes = list.map((options): Outcome => {
      const draft = draftOf({ topic, ...options })
      if (judge.judge(draft)) {
        accepted.push(draft)
        return { ok: firstSeq + accepted.length - 1 }
      }
      expect(draft.settled).to.equal(false)
      if (draft.duplicate) {
        expect(draft.error).to.equal(undefined)
        return { duplicate: draft.seq, mark: draft.mark }
      }
      return { error: draft.error?.code as string, current: draft.error?.details['current'] as Entry | null | undefined }
    })
    if (accepted.length > 0) this.fold.apply(bucketOf(accepted, { stream: 'spaces/s', firstSeq, nonce, ts: this.#ts }))
    return outcomes
  }
}

interface Outcome {
  ok?: number
  duplicate?: number
  mark?: string
  error?: string
  current?: Entry | null | undefined
}

type Step = DraftOptions & { comes: string }

/** What each step comes to: `seq`, `=seq` for a duplicate, or the code with the seq of `current`. */
const table: Record<string, Step[]> = {
  'the same id with the same content is a duplicate [P-9.6]': [
    { id: 'a', comes: '1' },
    { id: 'b', comes: '2' },
    { id: 'a', comes: '=1' },
    { id: 'a', client: 'other', qos: 2, comes: '=1' },
    { id: 'c', comes: '3' },
  ],
  'the same id with other content is refused [P-9.7]': [
    { id: 'a', payload: 'x', comes: '1' },
    { id: 'a', payload: 'y', comes: 'id-reused' },
    { id: 'a', payload: 'x', retain: true, comes: 'id-reused' },
    { id: 'a', payload: 'x', topic: 'spaces/s/u', comes: 'id-reused' },
    { id: 'a', payload: 'x', comes: '=1' },
  ],
  'an id belongs to one uid [P-9.4]': [
    { id: 'a', payload: 'x', comes: '1' },
    { id: 'a', payload: 'y', from: 'bob', comes: '2' },
    { id: 'a', payload: 'x', from: 'bob', comes: 'id-reused' },
    { id: 'a', payload: 'y', from: 'bob', comes: '=2' },
  ],
  'entries without an id are never duplicates': [{ comes: '1' }, { comes: '2' }, { comes: '3' }],
  'a refused publish leaves its id free [P-9.8]': [
    { retain: true, comes: '1' },
    { id: 'a', retain: true, condition: none, payload: 'x', comes: 'conflict 1' },
    { id: 'a', payload: 'y', comes: '2' },
    { id: 'b', condition: none, comes: 'bad-request' },
    { id: 'b', comes: '3' },
  ],
  'none holds while the topic is absent [P-9.13]': [
    { comes: '1' },
    { retain: true, condition: none, comes: '2' },
    { retain: true, condition: none, comes: 'conflict 2' },
    { retain: true, payload: '', comes: '3' },
    { retain: true, condition: none, comes: '4' },
  ],
  'a condition speaks of its own topic': [
    { retain: true, topic: 'spaces/s/other', comes: '1' },
    { retain: true, condition: none, comes: '2' },
  ],
  'id:… chains the writes of one uid [P-9.14]': [
    { id: 'a', retain: true, condition: none, payload: '1', comes: '1' },
    { id: 'b', retain: true, condition: { is: 'id', id: 'a' }, payload: '2', comes: '2' },
    { id: 'c', retain: true, condition: { is: 'id', id: 'a' }, payload: '3', comes: 'conflict 2' },
    { id: 'c', from: 'bob', retain: true, condition: { is: 'id', id: 'b' }, payload: '3', comes: 'conflict 2' },
    { id: 'c', retain: true, condition: { is: 'id', id: 'b' }, payload: '', comes: '3' },
    { id: 'd', retain: true, condition: { is: 'id', id: 'c' }, comes: 'conflict null' },
  ],
  'a repeated conditional publish that succeeded is a duplicate [P-9.11]': [
    { id: 'a', retain: true, condition: none, comes: '1' },
    { id: 'a', retain: true, condition: none, comes: '=1' },
    { id: 'b', retain: true, payload: 'newer', comes: '2' },
    { id: 'a', retain: true, condition: none, comes: '=1' },
  ],
  'a condition that was refused is judged anew, not remembered': [
    { id: 'a', retain: true, condition: { is: 'id', id: 'z' }, comes: 'conflict null' },
    { id: 'z', retain: true, payload: 'z', comes: '1' },
    { id: 'a', retain: true, condition: { is: 'id', id: 'z' }, comes: '2' },
  ],
  'a condition requires retain': [
    { condition: none, comes: 'bad-request' },
    { condition: { is: 'id', id: 'a' }, comes: 'bad-request' },
  ],
  'only its creator may delete without the grant to delete any [P-9.3]': [
    { retain: true, from: 'alice', mayDeleteAny: false, comes: '1' },
    { retain: true, from: 'bob', mayDeleteAny: false, payload: '', comes: 'forbidden' },
    { retain: true, from: 'bob', mayDeleteAny: false, payload: 'overwrites', comes: '2' },
    { retain: true, from: 'bob', mayDeleteAny: false, payload: '', comes: 'forbidden' },
    { retain: true, from: 'alice', mayDeleteAny: false, payload: '', comes: '3' },
    { retain: true, from: 'bob', mayDeleteAny: false, payload: 'creates', comes: '4' },
    { retain: true, from: 'alice', mayDeleteAny: false, payload: '', comes: 'forbidden' },
    { retain: true, from: 'alice', mayDeleteAny: true, payload: '', comes: '5' },
  ],
  'deleting what is absent is allowed to all [P-9.3]': [
    { retain: true, from: 'bob', mayDeleteAny: false, payload: '', comes: '1' },
    { from: 'alice', comes: '2' },
    { retain: true, from: 'bob', mayDeleteAny: false, payload: '', comes: '3' },
  ],
  'without retain an empty payload deletes nothing': [
    { retain: true, comes: '1' },
    { from: 'bob', mayDeleteAny: false, payload: '', comes: '2' },
    { retain: true, condition: none, comes: 'conflict 1' },
  ],
  'the id is judged before the deletion, the deletion before the condition [P-9.11]': [
    { retain: true, from: 'alice', comes: '1' },
    { retain: true, from: 'bob', mayDeleteAny: false, payload: '', condition: none, comes: 'forbidden' },
    { retain: true, from: 'bob', mayDeleteAny: true, payload: '', id: 'del', comes: '2' },
    { retain: true, from: 'alice', payload: 'again', comes: '3' },
    { retain: true, from: 'bob', mayDeleteAny: false, payload: '', id: 'del', condition: none, comes: '=2' },
    { retain: true, from: 'bob', mayDeleteAny: false, payload: 'x', id: 'del', comes: 'id-reused' },
  ],
}

describe('the judgement of a draft', () => {
  for (const [name, steps] of Object.entries(table)) {
    const expected = steps.map(({ comes }) => comes)

    it(`${name}: within one bucket`, () => {
      expect(new Bench().bucket(...steps).map(summary)).to.deep.equal(expected)
    })

    it(`${name}: one bucket each`, () => {
      const bench = new Bench()
      expect(steps.flatMap((step) => bench.bucket(step)).map(summary)).to.deep.equal(expected)
    })

    it(`${name}: split anywhere`, () => {
      for (let split = 1; split < steps.length; split++) {
        const bench = new Bench()
        const outcomes = [...bench.bucket(...steps.slice(0, split)), ...bench.bucket(...steps.slice(split))]
        expect(outcomes.map(summary), `after ${split}`).to.deep.equal(expected)
      }
    })
  }

  it('answers a duplicate with the mark of the first one, of this bucket or an earlier one [P-9.6]', () => {
    const bench = new Bench()
    bench.bucket({ id: 'a' })
    const { mark } = bench
    const [earlier, , here] = bench.bucket({ id: 'a' }, { id: 'b' }, { id: 'b' })
    expect(earlier).to.deep.equal({ duplicate: 1, mark })
    expect(here).to.deep.equal({ duplicate: 2, mark: bench.mark })
    expect(bench.mark).to.not.equal(mark)
  })

  describe('by position [P-9.12]', () => {
    for (const within of [false, true]) {
      it(`holds for the topic's last retained entry and nothing else${within ? ', within the bucket too' : ''}`, () => {
        const bench = new Bench()
        const first: DraftOptions[] = [{ retain: true, payload: '1' }, { payload: 'passing' }, { retain: true, payload: '3' }]
        if (!within) bench.bucket(...first)
        const before = bench.mark
        const nonce = drawNonce()
        const mark = within ? markOf(nonce) : before
        const judge = new Judge(bench.fold, { epoch, nextSeq: bench.fold.seq + 1, mark: markOf(nonce), nonce })
        if (within) for (const options of first) expect(judge.judge(draftOf({ topic, ...options }))).to.equal(true)
        const judged = (position: Partial<Extract<Condition, { is: 'position' }>>): boolean => {
          return judge.judge(draftOf({ topic, retain: true, condition: { is: 'position', epoch, seq: 3, mark, ...position } }))
        }
        for (const wrong of [{ seq: 1 }, { seq: 2 }, { seq: 0, mark: '0000' }, { seq: 99 }, { mark: '!!!!' }, { epoch: 'epoch-02' }]) {
          expect(judged(wrong), JSON.stringify(wrong)).to.equal(false)
        }
        expect(judged({})).to.equal(true)
        expect(judged({}), 'a second time').to.equal(false)
      })
    }

    it('is a conflict where the topic is absent', () => {
      const bench = new Bench()
      const [outcome] = bench.bucket({ retain: true, condition: { is: 'position', epoch, seq: 0, mark: '0000' } })
      expect(outcome).to.deep.equal({ error: 'conflict', current: null })
    })
  })

  it('shows the current entry of a conflict as readers will see it [P-9.15, P-3.20]', () => {
    const bench = new Bench({}, 5_000)
    bench.bucket({})
    const outcomes = bench.bucket(
      { topic: 'spaces/s/u' },
      { retain: true, payload: 'derived id', qos: 2, from: 'bob', client: 'tablet' },
      { retain: true, condition: none },
      { retain: true, payload: 'given id', id: 'given' },
      { retain: true, condition: none },
    )
    const late = bench.bucket({ retain: true, condition: none })
    const shown = [outcomes[2], outcomes[4], late[0]].map((outcome) => outcome?.current as Entry)
    expect(shown.map(({ seq, payload }) => [seq, payload.toString()])).to.deep.equal([
      [3, 'derived id'],
      [4, 'given id'],
      [4, 'given id'],
    ])
    expect({ ...shown[1], payload: '' }).to.deep.equal({ ...shown[2], payload: '' })
    const fold = new Fold(defaultLimits)
    const nonce = drawNonce()
    const judge = new Judge(fold, { epoch, nextSeq: 1, mark: markOf(nonce), nonce, ts: 7 })
    const drafts = [draftOf(), draftOf({ retain: true, payload: 'kept', qos: 0 })]
    for (const draft of drafts) expect(judge.judge(draft)).to.equal(true)
    const refused = draftOf({ retain: true, condition: none })
    expect(judge.judge(refused)).to.equal(false)
    fold.apply(bucketOf(drafts, { nonce, ts: 7 }))
    expect(refused.error?.details['current']).to.deep.equal(fold.retained('users/alice/notes/1')?.entry)
  })

  describe('of a retry whose id is not remembered [P-9.9]', () => {
    /** Ids of entries 1 to 5 are forgotten, 6 to 8 are remembered. */
    function forgetful(): Bench {
      const bench = new Bench({ idWindowMs: 0, idWindowEntries: 3 })
      for (let seq = 1; seq <= 8; seq++) bench.bucket({ id: `id${seq}` })
      expect(bench.fold.idsForgottenUpTo).to.equal(5)
      return bench
    }

    for (const [since, comes] of [
      [-1, 'unknown-outcome'],
      [0, 'unknown-outcome'],
      [4, 'unknown-outcome'],
      [5, '9'],
      [8, '9'],
      [undefined, '9'],
    ] as const) {
      it(`since ${since}: ${comes}`, () => {
        const [outcome] = forgetful().bucket({ id: 'other', ...(since === undefined ? {} : { since }) })
        expect(summary(outcome as Outcome)).to.equal(comes)
      })
    }

    it('since before the window, remembered all the same: a duplicate', () => {
      expect(forgetful().bucket({ id: 'id6', since: 0 }).map(summary)).to.deep.equal(['=6'])
    })

    it('in a stream that has forgotten nothing: appended, unless since is of another history', () => {
      expect(new Bench().bucket({ id: 'a', since: 0 }, { id: 'b', since: 100 }, { id: 'c', since: -1 }).map(summary)).to.deep.equal([
        '1',
        '2',
        'unknown-outcome',
      ])
    })

    it('leaves its id free', () => {
      expect(forgetful().bucket({ id: 'id1', since: 0 }, { id: 'id1', since: 5 }, { id: 'id1' }).map(summary)).to.deep.equal([
        'unknown-outcome',
        '9',
        '=9',
      ])
    })
  })

  it('may be made again after its bucket was not stored', () => {
    const fold = new Fold(defaultLimits)
    const draft = draftOf({ id: 'a', retain: true, condition: none })
    const rival = draftOf({ retain: true, payload: 'rival' })
    const lost = new Judge(fold, { epoch, nextSeq: 1, mark: 'lost' })
    expect([lost.judge(rival), lost.judge(draft)]).to.deep.equal([true, false])
    expect(draft.error?.code).to.equal('conflict')
    expect(new Judge(fold, { epoch, nextSeq: 1, mark: 'next' }).judge(draft)).to.equal(true)
    expect([draft.error, draft.duplicate]).to.deep.equal([undefined, false])
  })

  it('takes everything where there is no fold, because nothing needs one', () => {
    const judge = new Judge(undefined, { epoch, nextSeq: 1, mark: 'mark' })
    for (const options of [{}, { retain: true }, { retain: true, payload: '' }]) {
      const draft = draftOf(options)
      expect(draft.needsJudgement).to.equal(false)
      expect(judge.judge(draft)).to.equal(true)
    }
  })
})

function summary({ ok, duplicate, error, current }: Outcome): string {
  if (ok !== undefined) return `${ok}`
  if (duplicate !== undefined) return `=${duplicate}`
  return current === undefined ? `${error}` : `${error} ${current === null ? 'null' : current.seq}`
}
