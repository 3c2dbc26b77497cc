import { expect } from 'chai'
import * as fc from 'fast-check'
import { entryLine } from '../../cli/entry-lines.ts'
import { createLogger } from '../../cli/logger.ts'
import { rawElements, rawMembers } from '../../cli/raw-json.ts'
import { runSteps, stopSteps, type Step } from '../../cli/steps.ts'
import { addressesOf } from '../../cli/addresses.ts'
import { configFrom } from '../../cli/config.ts'
import { readyLine, welcome } from '../../cli/welcome.ts'
import { silentLogger } from '../../seams/logger.ts'

describe('raw JSON', () => {
  const spaced = fc.constantFrom('', ' ', '\n\t')

  it('gives the members of any object as they were written', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 5 }), spaced, (object, space) => {
        const members = Object.entries(object).map(([name, value]) => [name, JSON.stringify(value, null, space)] as const)
        const text = `${space}{${space}${members.map(([name, value]) => `${JSON.stringify(name)}${space}:${space}${value}${space}`).join(`,${space}`)}}`
        expect([...rawMembers(text)]).to.deep.equal(members)
      }),
    )
  })

  it('gives the elements of any array as they were written', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue(), { maxLength: 5 }), spaced, (array, space) => {
        const elements = array.map((value) => JSON.stringify(value, null, space))
        expect(rawElements(`${space}[${space}${elements.map((value) => value + space).join(`,${space}`)}]`)).to.deep.equal(elements)
      }),
    )
  })
})

describe('the line of an entry', () => {
  const lines: readonly [string, string][] = [
    ['{"pos":"p","topic":"a","data":1.50}', 'p a 1.50'],
    ['{"topic":"a","text":"x","ephemeral":true}', '- a x'],
    ['{"pos":"p","topic":"a","deleted":true}', 'p a (deleted)'],
    ['{"pos":"p","topic":"a\\u0007b","text":""}', 'p "a\\u0007b" '],
    ['{"data":{\n"pos":"q" },"pos":"p","topic":"a"}', 'p a { "pos":"q" }'],
  ]
  for (const [envelope, line] of lines) it(line, () => expect(entryLine(envelope)).to.equal(line))
})

describe('the log of the process', () => {
  it('holds no token, wherever one is given', () => {
    const written: string[] = []
    const logger = createLogger('info', { write: (line) => void written.push(line) })
    const token = `${Buffer.from('{"alg":"HS256"}').toString('base64url')}.${Buffer.from('{"sub":"a"}').toString('base64url')}.c2lnbmF0dXJl`
    logger.info({ token, password: 'hush', headers: { authorization: 'Bearer hush' }, request: { password: 'hush' } }, 'one')
    logger.warn({ err: new Error(`refused ${token}`), deep: { deeper: { url: `?t=${token}` } } }, `two ${token}`)
    expect(written).to.have.length(2)
    expect(written.join('')).to.not.match(/hush|c2lnbmF0dXJl|eyJ/)
    expect(JSON.parse(written[1] as string)).to.have.nested.property('err.message', 'refused [token]')
  })
})

describe('steps', () => {
  const rules = { timeoutMs: 20, logger: silentLogger }
  const parts = { logger: silentLogger, config: { limits: { stopTimeoutMs: 20 } } }
  const step = (name: string, seen: string[], own: Partial<Step<typeof parts>> = {}): Step<typeof parts> => ({
    name,
    start: () => void seen.push(`+${name}`),
    stop: async () => void seen.push(`-${name}`),
    ...own,
  })

  it('start in order, stop in reverse, and a failed start stops what was started', async () => {
    const seen: string[] = []
    const started = await runSteps([step('a', seen), step('b', seen)], parts)
    await stopSteps(started, parts, rules)
    expect(seen.splice(0)).to.deep.equal(['+a', '+b', '-b', '-a'])
    const failing = step('c', seen, { start: () => Promise.reject(new Error('no')) })
    const error: unknown = await runSteps([step('a', seen), step('b', seen), failing, step('d', seen)], parts).catch(
      (thrown: unknown) => thrown,
    )
    expect(error).to.have.property('message', 'no')
    expect(seen).to.deep.equal(['+a', '+b', '-b', '-a'])
  })

  it('stop all of them though one fails and one never ends, and tell the first failure', async () => {
    const seen: string[] = []
    const stuck = step('stuck', seen, { stop: () => new Promise<void>(() => {}) })
    const broken = step('broken', seen, { stop: () => Promise.reject(new Error('broken')) })
    const error: unknown = await stopSteps([step('a', seen), broken, stuck], parts, rules).catch((thrown: unknown) => thrown)
    expect(error).to.have.property('message', 'stopping the stuck took longer than 20 ms')
    expect(seen).to.deep.equal(['-a'])
  })
})

describe('the welcome', () => {
  const ports = { mqtt: 1883, http: 8080, mqtts: undefined }

  it('is that of the README with the default settings', () => {
    const config = configFrom({})
    const text = welcome({
      config,
      addresses: addressesOf(config, ports),
      developmentMode: true,
      consoleUrl: 'http://127.0.0.1:8080/#dev=s',
    })
    expect(text).to.include('\n  console    http://127.0.0.1:8080/#dev=s\n')
    expect(text).to.include('\n  TOKEN=$(npx tidemark token alice)\n')
    expect(text).to.include(`\n  mosquitto_sub -i phone -c -q 1 -u alice -P "$TOKEN" -t 'users/alice/#' -v\n`)
    expect(text).to.include('\n  mosquitto_pub -q 1 -u alice -P "$TOKEN" -t users/alice/notes/1 -m hello\n')
    expect(text).to.include('\n  curl -H "Authorization: Bearer $TOKEN" localhost:8080/v1/streams/users/alice/entries\n')
    expect(text).to.include(`\n  mosquitto_sub -q 1 -u alice -P "$TOKEN" -t 'sync@earliest/users/alice/#' -v\n`)
  })

  it('follows the settings', () => {
    const config = configFrom({ host: '::1', data: "it's here", audience: 'x', store: 'memory:' })
    const served = { config, addresses: addressesOf(config, { ...ports, mqtt: 1999 }), developmentMode: true, consoleUrl: '' }
    const text = welcome(served)
    expect(text).to.include(`token alice --data 'it'\\''s here' --audience x)`)
    expect(text).to.include('mosquitto_pub -h ::1 -p 1999 -q 1')
    expect(text).to.include('"Authorization: Bearer $TOKEN" [::1]:8080/v1')
    expect(text).to.include('in memory: what is acknowledged is gone')
    expect(readyLine(served)).to.equal('tidemark ready mqtt=[::1]:1999 ws=[::1]:8080/mqtt http=[::1]:8080')
  })

  it('offers no development token where there is an issuer', () => {
    const issuers = [{ issuer: 'https://id.example', algorithms: ['HS256' as const], secret: 'a secret that is long enough for HS256' }]
    const config = configFrom({ host: '0.0.0.0', issuers, certFile: 'c', keyFile: 'k' })
    const served = { config, addresses: addressesOf(config, { ...ports, mqtts: 8883 }), developmentMode: false, consoleUrl: '' }
    expect(welcome(served)).to.include('https://id.example').and.include('mqtts://localhost:8883').and.not.include('TOKEN')
    expect(readyLine(served)).to.include(' mqtts=0.0.0.0:8883 ')
  })
})
