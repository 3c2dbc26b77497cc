/** Every attack on every door: run, or not applicable for a reason. */
import type { Attack } from './cells.ts'
import { consoleRows } from './rows/console.ts'
import { limitRows } from './rows/limits.ts'
import { nameRows } from './rows/names.ts'
import { originRows } from './rows/origins.ts'
import { othersRows } from './rows/others.ts'
import { privilegeRows } from './rows/privilege.ts'
import { renewalRows } from './rows/renewal.ts'
import { tokenRows } from './rows/tokens.ts'

export const attacks: readonly Attack[] = [
  ...othersRows,
  ...tokenRows,
  ...renewalRows,
  ...privilegeRows,
  ...nameRows,
  ...limitRows,
  ...originRows,
  ...consoleRows,
]

/** Cells that must have run at the end; raise it with the table. */
export const cellsExpectedMin = 300
