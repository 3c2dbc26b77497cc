import { expect } from 'chai'
import { openStream, streamOfTopic, type TopicRules } from '../../protocol/topics.ts'
import { defaultLimits } from '../../seams/limits.ts'

const rules: TopicRules = { ...defaultLimits, openEnabled: true }

describe('the stream of a topic', () => {
  for (const [topic, stream] of [
    ['users/alice/a', 'users/alice'],
    ['users/alice/users/bob', 'users/alice'],
    ['users/alice/1/2/3/4/5', 'users/alice'],
    ['users/other~alice/a', 'users/other~alice'],
    ['spaces/alice/a', 'spaces/alice'],
    ['spaces/board/a', 'spaces/board'],
    ['lamp/on', openStream],
    ['lamp', openStream],
    ['Users/alice/a', openStream],
    ['/users/alice/a', openStream],
    ['open/-/a', openStream],
  ] as const) {
    it(`${topic} is ${stream} [P-1.2]`, () => {
      expect(streamOfTopic(topic, rules)).to.equal(stream)
    })
  }
})
