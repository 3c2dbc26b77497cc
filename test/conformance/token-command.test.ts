/** The command that prints tokens for the kit. */
import { expect } from 'chai'
import { tokenBy } from '../../conformance/token-command.ts'

describe('the token command of conformance', () => {
  it('gets the name of the user as it was given', async () => {
    expect(await tokenBy("printf %s '{user}'", 'a$$b$&c')).to.equal('a$$b$&c')
  })
})
