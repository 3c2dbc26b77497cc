/** Told apart by its name: a command that is loaded later may have the class from another copy of this module. */
export const usageErrorName = 'UsageError'

/** The command line was not understood: exit code 2. */
export class UsageError extends Error {
  override readonly name = usageErrorName
}
