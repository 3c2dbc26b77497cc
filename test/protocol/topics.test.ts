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

  for (const topic of ['users/alice/\ud800', 'users/alice/\ufffd', 'users/alice/\0', 'lamp/\udc00x']) {
    it(`there is none for ${JSON.stringify(topic)}, which UTF-8 cannot say or MQTT not carry [P-1.20]`, () => {
      expect(() => streamOfTopic(topic, rules))
        .to.throw()
        .with.property('code', 'bad-topic')
    })
  }
})
