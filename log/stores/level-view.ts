/**
 * The embedded store as it is at one moment, beside itself: its tables by further names of the same files, its logs and its
 * MANIFEST copied. LevelDB has no way to open a folder without changing it, and only one process may; a view may be
 * opened whatever becomes of the folder, also while a server writes to it. It is what a crash at that moment would have left.
 */
import { copyFile, link, mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { SyncError } from '../../protocol/errors.ts'
import { finishedTables } from './level-check.ts'
import { markerName } from './level.ts'

export interface LevelView {
  /** To be opened in place of the folder. */
  readonly folder: string
  remove(): Promise<void>
}

const triesMax = 100
const table = /^\d+\.(?:ldb|sst)$/
const copied = /^(?:\d+\.log|MANIFEST-\d+|CURRENT)$/

/** Rejects with `store-unavailable` where there is no store. */
export async function viewOf(folder: string): Promise<LevelView> {
  const parent = await mkdtemp(`${folder}.view-`).catch((error: unknown) => {
    throw (error as NodeJS.ErrnoException).code === 'ENOENT' ? missing(folder) : error
  })
  const view = { folder: join(parent, basename(folder)), remove: () => rm(parent, { recursive: true, force: true }) }
  try {
    await copyFile(join(dirname(folder), markerName), join(parent, markerName)).catch((error: unknown) => {
      throw (error as NodeJS.ErrnoException).code === 'ENOENT' ? missing(folder) : error
    })
    for (let tries = 1; !(await isTaken(folder, view.folder)); tries++) {
      if (tries === triesMax) throw new SyncError('store-unavailable', `the files in ${folder} change too fast to be read; try again later`)
    }
    return view
  } catch (error) {
    await view.remove()
    throw error
  }
}

/** Whether no file came or went meanwhile, and none but logs grew: then what was taken fits together. */
async function isTaken(folder: string, view: string): Promise<boolean> {
  await rm(view, { recursive: true, force: true })
  await mkdir(view)
  try {
    const before = await filesOf(folder)
    const names = [...before.keys()]
    for (const name of names) if (!table.test(name)) await copyFile(join(folder, name), join(view, name))
    const finished = await finishedTables(view, names)
    for (const name of names.filter((each) => table.test(each))) {
      // A file that the view may write to must not be one of the folder.
      if (finished.has(Number.parseInt(name, 10))) await linkOrCopy(join(folder, name), join(view, name))
      else await copyFile(join(folder, name), join(view, name))
    }
    const after = await filesOf(folder)
    return (
      before.size === after.size &&
      [...before].every(([name, size]) => after.get(name) === size || (name.endsWith('.log') && after.has(name)))
    )
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

async function filesOf(folder: string): Promise<Map<string, number>> {
  const names = await readdir(folder).catch((error: unknown) => {
    throw (error as NodeJS.ErrnoException).code === 'ENOENT' ? missing(folder) : error
  })
  const files = new Map<string, number>()
  for (const name of names) if (table.test(name) || copied.test(name)) files.set(name, (await stat(join(folder, name))).size)
  return files
}

/** Not every file system has further names for a file. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to)
  } catch (error) {
    if (!['EPERM', 'EXDEV', 'ENOTSUP', 'EMLINK', 'ENOSYS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    await copyFile(from, to)
  }
}

function missing(folder: string): SyncError {
  return new SyncError('store-unavailable', `there is no store in ${folder}; name the data folder with --data`)
}
