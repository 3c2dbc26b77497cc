/** The evaluator that our policies are judged by, itself judged by the examples in AWS's documents: an oracle that errs proves nothing. */
import { expect } from 'chai'
import { isAllowed, type IamContext, type IamDocument, type IamStatement } from '../../support/aws/iam.ts'
import { arn } from './support.ts'

const allow = (Action: string | string[], Resource: string | string[], more: Partial<IamStatement> = {}): IamStatement => ({
  Effect: 'Allow',
  Action,
  Resource,
  ...more,
})
const policy = (...Statement: IamStatement[]): IamDocument => ({ Version: '2012-10-17', Statement })
const may = (documents: readonly IamDocument[], action: string, resource: string, context: IamContext = {}): boolean =>
  isAllowed([documents], { action, resource, context })
const topic = (name: string): string => arn('topic', name)

describe('the evaluator of IAM policies', () => {
  it('takes wildcards in actions, whose case does not matter', () => {
    for (const action of ['iot:P*', 'iot:Publis?', 'IOT:publish', '*', 'iot:*'])
      expect(may([policy(allow(action, '*'))], 'iot:Publish', topic('x')), action).to.equal(true)
    expect(may([policy(allow('iot:P', '*'))], 'iot:Publish', topic('x'))).to.equal(false)
  })

  it('compares ARNs field by field, the last with its colons', () => {
    expect(may([policy(allow('iot:Publish', 'arn:aws:iot:*:123456789012:topic/x'))], 'iot:Publish', topic('x'))).to.equal(true)
    expect(may([policy(allow('iot:Publish', 'arn:aws:iot:*:topic/x'))], 'iot:Publish', topic('x'))).to.equal(false)
    expect(may([policy(allow('iot:Publish', topic('a:b:*')))], 'iot:Publish', topic('a:b:c:d'))).to.equal(true)
    expect(may([policy(allow('iot:Publish', 'arn:aws-cn:iot:eu-west-1:123456789012:topic/x'))], 'iot:Publish', topic('x'))).to.equal(false)
  })

  it('wants every layer to allow, and none to deny', () => {
    const [yes, no, silent] = [policy(allow('*', '*')), policy({ Effect: 'Deny', Action: 'iot:Publish', Resource: '*' }), policy()]
    const decide = (...layers: IamDocument[][]): boolean => isAllowed(layers, { action: 'iot:Publish', resource: topic('x') })
    expect(decide([yes], [yes])).to.equal(true)
    for (const layers of [[[yes, no], [yes]], [[yes], [no, yes]], [[yes], [silent]], [[silent], [yes]], []])
      expect(decide(...layers)).to.equal(false)
  })

  it('lets * stand for anything, also for nothing and for slashes, and ? for one character', () => {
    const cases: [string, string, boolean][] = [
      ['a/*', 'a/', true],
      ['a/*', 'a/b/c', true],
      ['a/*', 'a', false],
      ['a*c', 'abbbc', true],
      ['a*c', 'abcb', false],
      ['a*b*c', 'a-b-b-c', true],
      ['a?c', 'abc', true],
      ['a?c', 'a/c', true],
      ['a?c', 'ac', false],
      ['a?c', 'a😀c', true],
      ['+', '+', true],
      ['+', 'a', false],
      ['#', 'a', false],
      ['**', '', true],
    ]
    for (const [pattern, name, expected] of cases)
      expect(may([policy(allow('*', topic(pattern)))], 'iot:Publish', topic(name)), `${pattern} on ${name}`).to.equal(expected)
  })

  it('replaces variables in policies of 2012-10-17 only, never reads their values as patterns, and fails where there is none', () => {
    const own = (version: string): IamDocument => ({ Version: version, Statement: allow('*', topic('${iot:ClientId}/x')) })
    expect(may([own('2012-10-17')], 'iot:Publish', topic('me/x'), { 'iot:clientid': 'me' })).to.equal(true)
    expect(may([own('2008-10-17')], 'iot:Publish', topic('me/x'), { 'iot:clientid': 'me' })).to.equal(false)
    expect(may([own('2008-10-17')], 'iot:Publish', topic('${iot:ClientId}/x'))).to.equal(true)
    expect(may([own('2012-10-17')], 'iot:Publish', topic('/x'))).to.equal(false)
    expect(may([own('2012-10-17')], 'iot:Publish', topic('you/x'), { 'iot:clientid': '*' })).to.equal(false)
    expect(may([own('2012-10-17')], 'iot:Publish', topic('a/b/x'), { 'iot:clientid': 'a/b' })).to.equal(true)
    expect(may([own('2012-10-17')], 'iot:Publish', topic('+/x'), { 'iot:clientid': '+' })).to.equal(true)
    expect(may([policy(allow('*', topic("${aws:x, 'team'}")))], 'iot:Publish', topic('team'))).to.equal(true)
    for (const [escape, name] of [
      ['${*}', '*'],
      ['${?}', '?'],
      ['${$}', '$'],
      ['${$}{a}', '${a}'],
    ] as const) {
      expect(may([policy(allow('*', topic(escape)))], 'iot:Publish', topic(name)), escape).to.equal(true)
      expect(may([policy(allow('*', topic(escape)))], 'iot:Publish', topic('x')), escape).to.equal(false)
    }
  })

  it('does not save a topic by a denied filter: a wider one still delivers, unless Receive is denied as well', () => {
    const building = policy(allow(['iot:Subscribe', 'iot:Receive'], [arn('topicfilter', 'building/*'), topic('building/*')]))
    const deny = (Action: string, Resource: string): IamDocument => policy({ Effect: 'Deny', Action, Resource })
    const subscribing = [building, deny('iot:Subscribe', arn('topicfilter', 'building/control_room/*'))]
    expect(may(subscribing, 'iot:Subscribe', arn('topicfilter', 'building/control_room/#'))).to.equal(false)
    expect(may(subscribing, 'iot:Subscribe', arn('topicfilter', 'building/#'))).to.equal(true)
    expect(may(subscribing, 'iot:Receive', topic('building/control_room/x'))).to.equal(true)
    expect(
      may([...subscribing, deny('iot:Receive', topic('building/control_room/*'))], 'iot:Receive', topic('building/control_room/x')),
    ).to.equal(false)
  })

  it('knows what conditions say of what is not there', () => {
    const connect = (operator: string, value: string | string[]): IamDocument =>
      policy(allow('iot:Connect', '*', { Condition: { [operator]: { 'iot:ConnectAttributes': value } } }))
    const asks = (document: IamDocument, context: IamContext = {}): boolean => may([document], 'iot:Connect', arn('client', 'x'), context)
    expect(asks(connect('ForAllValues:StringEquals', 'LastWill'))).to.equal(true)
    expect(asks(connect('ForAnyValue:StringEquals', 'LastWill'))).to.equal(false)
    expect(asks(connect('ForAllValues:StringEquals', 'LastWill'), { 'iot:connectattributes': ['LastWill', 'PersistentConnect'] })).to.equal(
      false,
    )
    expect(asks(connect('StringNotEquals', 'LastWill'))).to.equal(true)
    expect(asks(connect('StringEqualsIfExists', 'LastWill'))).to.equal(true)
    expect(asks(connect('Null', 'true'))).to.equal(true)
    const persistent: IamStatement = {
      Effect: 'Deny',
      Action: 'iot:Connect',
      Resource: '*',
      Condition: { 'ForAnyValue:StringEquals': { 'iot:ConnectAttributes': 'PersistentConnect' } },
    }
    expect(asks(policy(allow('iot:Connect', '*'), persistent))).to.equal(true)
    expect(asks(policy(allow('iot:Connect', '*'), persistent), { 'iot:connectattributes': ['PersistentConnect'] })).to.equal(false)
  })

  it('takes one statement and one text for a list, and none for nothing', () => {
    expect(may([{ Version: '2012-10-17', Statement: allow('iot:Publish', topic('x')) }], 'iot:Publish', topic('x'))).to.equal(true)
    expect(may([policy()], 'iot:Publish', topic('x'))).to.equal(false)
    expect(may([policy({ Effect: 'Allow', NotAction: 'iot:Connect', NotResource: topic('y') })], 'iot:Publish', topic('x'))).to.equal(true)
    expect(may([policy({ Effect: 'Allow', NotAction: 'iot:Publish', NotResource: topic('y') })], 'iot:Publish', topic('x'))).to.equal(false)
    expect(() => may([policy(allow('*', '*', { Condition: { Nonsense: { x: 'y' } } }))], 'iot:Publish', topic('x'))).to.throw(
      'not known here',
    )
  })
})
