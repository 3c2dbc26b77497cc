/** The faults that are planted to see that the breaker finds them still fit the sources. */
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { plantings, plantInto } from '../../chaos/mutations.ts'
import { tempFolder } from '../support/temp.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

describe('the faults that the breaker has to find', function () {
  this.timeout(120_000)

  for (const { name, why } of plantings) {
    it(`[P-8.6] can plant ${name}: ${why}`, async () => {
      const folder = join(await tempFolder(), 'sources')
      plantInto(folder, root, name)
      expect(existsSync(join(folder, 'bin/tidemark.js'))).to.equal(true)
      await rm(folder, { recursive: true })
    })
  }
})
