/** `/openapi.json`. */
import { expect } from 'chai'
import { ask, makeWorld, type World } from './support.ts'

interface Operation {
  readonly summary?: string
  readonly security?: object[]
  readonly parameters?: {
    readonly name: string
    readonly in: string
    readonly schema: Record<string, unknown>
    readonly required: boolean
    readonly example?: unknown
  }[]
  readonly requestBody?: { readonly content: Record<string, { readonly schema: object; readonly example?: unknown }> }
  readonly responses: Record<
    string,
    {
      readonly description: string
      readonly content?: Record<
        string,
        { readonly schema?: object; readonly examples?: Record<string, { value: Record<string, unknown> }> }
      >
    }
  >
}

const routes = [
  'DELETE /v1/streams/{kind}/{id}',
  'DELETE /v1/streams/{kind}/{id}/members/{uid}',
  'GET /',
  'GET /.well-known/jwks.json',
  'GET /console/{file}',
  'GET /healthz',
  'GET /metrics',
  'GET /openapi.json',
  'GET /readyz',
  'GET /v1/events',
  'GET /v1/sessions',
  'GET /v1/streams/{kind}/{id}/entries',
  'GET /v1/streams/{kind}/{id}/state',
  'POST /v1/revocations',
  'POST /v1/streams/{kind}/{id}/entries',
  'POST /v1/token',
]

describe('bridge: /openapi.json', () => {
  let world: World
  let document: Record<string, unknown>
  let operations: Map<string, Operation>
  before(async () => {
    world = await makeWorld()
    document = (await ask(world, '/openapi.json')).body
    const paths = Object.entries(document['paths'] as Record<string, Record<string, Operation>>)
    operations = new Map(
      paths.flatMap(([path, methods]) =>
        Object.entries(methods).map(([method, operation]) => [`${method.toUpperCase()} ${path}`, operation] as const),
      ),
    )
  })
  after(() => world.close())

  it('is OpenAPI 3.1 and lists every route of chapter 11, and no other [P-11.11]', () => {
    expect(document).to.include({ openapi: '3.1.0' })
    expect(document['info']).to.deep.include({ title: 'Tidemark', version: '9.9.9' })
    expect([...operations.keys()].toSorted()).to.deep.equal(routes)
  })

  it('every operation has a summary and answers with descriptions and schemas; every path parameter is declared', () => {
    for (const [route, { summary, responses, parameters = [] }] of operations) {
      expect(summary, route).to.be.a('string')
      expect(Object.keys(responses), route).to.not.have.length(0)
      for (const [status, { description, content }] of Object.entries(responses)) {
        expect(status).to.match(/^[2-5][0-9]{2}$/)
        expect(description, `${route} ${status}`).to.be.a('string').and.not.equal('Default Response')
        if (status !== '204') for (const { schema } of Object.values(content ?? {})) expect(schema).to.be.an('object')
      }
      const named = [...route.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
      expect(parameters.filter((one) => one.in === 'path').map(({ name }) => name)).to.deep.equal(named)
    }
  })

  it('says for the history what the route checks [P-11.14 – P-11.20]', () => {
    const { parameters = [], security } = operations.get('GET /v1/streams/{kind}/{id}/entries') as Operation
    const query = parameters.filter((one) => one.in === 'query')
    expect(query.map(({ name }) => name)).to.deep.equal(['after', 'before', 'since', 'until', 'topic', 'reverse', 'limit'])
    expect(query.find(({ name }) => name === 'limit')?.schema).to.include({ type: 'integer', minimum: 0, maximum: 1000, default: 100 })
    expect(query.every(({ required }) => !required)).to.equal(true)
    expect(security).to.deep.equal([{ bearer: [] }])
  })

  it('says for event streams what the route takes [P-18.1] [P-18.5]', () => {
    const { parameters = [], responses } = operations.get('GET /v1/events') as Operation
    expect(parameters.map(({ name, in: where, required }) => [name, where, required])).to.deep.equal([
      ['from', 'query', true],
      ['last-event-id', 'header', false],
    ])
    expect(parameters[0]?.schema).to.deep.include({ type: 'array', minItems: 1, maxItems: 50 })
    expect(Object.keys(responses['200']?.content ?? {})).to.deep.equal(['text/event-stream'])
  })

  it('refusals are problem documents with an example per code [P-12.1]', () => {
    let examined = 0
    for (const [route, { responses }] of operations) {
      if (route === 'POST /v1/token') continue
      for (const [status, { content = {} }] of Object.entries(responses).filter(([code]) => code >= '400')) {
        const { examples = {} } = content['application/problem+json'] ?? {}
        for (const [code, { value }] of Object.entries(examples)) {
          expect(value, `${route} ${status}`).to.include({ code, status: Number(status), type: `urn:tidemark:error:${code}` })
          examined++
        }
        expect(Object.keys(examples), `${route} ${status}`).to.not.have.length(0)
      }
    }
    expect(examined).to.be.greaterThan(40)
  })

  it('the examples of bodies are there, and the token route takes a form [P-10.18]', () => {
    const publish = operations.get('POST /v1/streams/{kind}/{id}/entries')?.requestBody?.content['application/json']
    expect(publish?.example).to.include({ topic: 'notes/1' })
    expect(Object.keys(operations.get('POST /v1/token')?.requestBody?.content ?? {})).to.deep.equal(['application/x-www-form-urlencoded'])
  })
})
