/** The table of attacks, cell by cell: refused as the spec says, nothing leaked, nothing changed, counted and logged. */
import { expect } from 'chai'
import { Attacker, doors, type Attack, type Door } from './cells.ts'
import { attacks, cellsExpectedMin } from './table.ts'
import { makeWorld, secretMark, type World } from './world.ts'

describe('attacks', function () {
  this.timeout(60_000)
  let world: World
  let ran = 0
  const notApplicable: string[] = []

  before(async () => {
    world = await makeWorld()
  })
  after(() => world.stop())

  for (const attack of attacks) {
    describe(`who ${attack.name} [${attack.clauses.join(', ')}]`, () => {
      for (const door of doors) {
        const cell = attack[door]
        if (typeof cell === 'string') {
          notApplicable.push(`${door}: who ${attack.name} – ${cell}`)
          continue
        }
        it(`${door}: ${codeOf(attack, door) ?? 'gains nothing'}`, async () => {
          await runCell(world, attack, door)
          ran++
        })
      }
    })
  }

  describe('at the end', () => {
    it('[P-12.27] no other client noticed, and the servers are well', async () => {
      expect(world.victim.tab.isClosed).to.equal(false)
      for (const server of [world.main, world.dev]) expect((await fetch(`${server.urls.http}/readyz`)).status).to.equal(200)
      const errors = world.lines.all.filter((line) => /"level":(50|60)/.test(line))
      expect(errors, 'error lines').to.deep.equal([])
    })

    it('has attacked every door as often as expected', () => {
      console.log(`      ${ran} cells ran, ${notApplicable.length} are not applicable`)
      expect(ran).to.be.at.least(cellsExpectedMin)
      for (const reason of notApplicable) expect(reason).to.match(/ – .{15,}/)
    })
  })
})

function codeOf({ code }: Attack, door: Door): string | undefined {
  return typeof code === 'object' ? code[door] : code
}

async function runCell(world: World, attack: Attack, door: Door): Promise<void> {
  const code = codeOf(attack, door)
  const countedAt = attack.countedAt ?? door
  const standing = await world.victim.standing()
  const { spoken } = world.victim
  const linesBefore = world.lines.all.length
  const countBefore = await refusals(world, countedAt, code)
  const attacker = new Attacker(world, door)
  try {
    const run = attack[door]
    if (typeof run === 'string') throw new Error(run)
    await run(attacker)

    // What the victim says now must not arrive either.
    const before = await world.victim.standing()
    if (world.victim.spoken === spoken) expect(before, 'the victim’s streams').to.equal(standing)
    await world.victim.speak()
    expect(await attacker.loot(), 'what the attacker got').not.to.include(secretMark)

    if (code !== undefined) {
      expect(await refusals(world, countedAt, code), `refusals counted with door="${countedAt}", code="${code}"`).to.be.greaterThan(
        countBefore,
      )
    }
    const lines = world.lines.all.slice(linesBefore)
    if (code !== undefined)
      expect(
        lines.some((line) => line.includes(`"code":"${code}"`)),
        `a log line with the code ${code}`,
      ).to.equal(true)
    withoutTokens(lines, world)
  } finally {
    attacker.end()
  }
}

/** [P-10.29]. Longer ones only: `not-a-token` is one, too. */
function withoutTokens(lines: readonly string[], { tokens }: World): void {
  const text = lines.join('')
  for (const token of tokens.made) {
    const [, claims = token] = token.split('.')
    if (claims.length > 40) expect(text.includes(claims), 'a token stands in the log').to.equal(false)
  }
}

/** The count in /metrics of both servers. */
async function refusals(world: World, door: string, code: string | undefined): Promise<number> {
  if (code === undefined) return 0
  let sum = 0
  for (const server of [world.main, world.dev]) {
    const text = await (await fetch(`${server.urls.http}/metrics`)).text()
    for (const line of text.split('\n')) {
      if (line.startsWith('tidemark_refusals_total{') && line.includes(`door="${door}"`) && line.includes(`code="${code}"`)) {
        sum += Number(line.split(' ').at(-1))
      }
    }
  }
  return sum
}
