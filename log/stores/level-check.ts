/**
 * Looks over the files of the embedded store before LevelDB opens them.
 *
 * LevelDB takes a damaged record in a write-ahead log for one that a crash tore: it drops it, in silence, and
 * with it entries that were acknowledged. A MANIFEST cut short loses tables in the same way, and the files that it
 * no longer names are then deleted. Both can be told from a crash. A torn write is the last thing in
 * its file, because a batch is on disk before the next is written; so a whole record behind a broken one means damage, and so does one
 * that is whole but for its length. And a
 * log that the MANIFEST still needs is deleted only after a newer MANIFEST is on disk; so if it is missing while
 * there are newer files, what named them is gone. And a table whose index is damaged hides what it holds.
 *
 * What a loss of power left is put right. CURRENT may name an older MANIFEST than there is (`finishSwitch`). And the
 * MANIFEST may end with a record that is torn, or that reached the disk before the name of a file it adds: LevelDB refuses
 * that, though nothing was deleted yet on the strength of it; so where all that the records before it name is there, it is
 * cut off (`takeBackUnfinished`).
 */
import { open, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { checksum, hasChecksumWithin, storedChecksum } from './level-checksum.ts'
import { damageOfTable } from './level-tables.ts'

const blockBytes = 32_768
const headerBytes = 7
const typeFull = 1
const typeFirst = 2
const typeLast = 4
/** Fields of a MANIFEST record, and how many numbers each is made of after which a key or two follow. */
const tagComparator = 1
const tagLogNumber = 2
const tagCompactPointer = 5
const tagDeletedFile = 6
const tagNewFile = 7
const tagPreviousLog = 9

/** What is damaged, as a sentence that names the file, or undefined. */
export function findDamage(folder: string): Promise<string | undefined> {
  return unlessGone(undefined, async () => {
    const names = await readdir(folder)
    return (await damageOfLogs(folder, names)) ?? (await damageOfManifest(folder, names)) ?? (await damageOfTables(folder, names))
  })
}

/** What the look says, or `gone` where another process has the folder and removed a file just now: the lock will say so. */
async function unlessGone<Found>(gone: Found, look: () => Promise<Found>): Promise<Found> {
  try {
    return await look()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return gone
    throw error
  }
}

async function damageOfLogs(folder: string, names: readonly string[]): Promise<string | undefined> {
  for (const name of names.filter((file) => file.endsWith('.log'))) {
    const { damagedAt } = readRecords(await readFile(join(folder, name)))
    if (damagedAt !== undefined) return `${name} is broken at byte ${damagedAt}, in front of entries that are whole`
  }
  return undefined
}

async function damageOfManifest(folder: string, names: readonly string[]): Promise<string | undefined> {
  const manifest = await readManifest(folder, names)
  const needed = manifest && neededFiles(manifest.records)
  if (!needed || hasLog(needed, names) || isWholeBefore(manifest.records, names)) return undefined
  const newer = names.find((name) => numbered.test(name) && Number.parseInt(name, 10) > needed.log)
  if (newer === undefined) return undefined
  return `${manifest.name} needs ${fileName(needed.log)}.log, which is gone, and does not know ${newer}: its end is missing`
}

/** Tables that nothing names may be what a crash left half written: LevelDB deletes them. */
async function damageOfTables(folder: string, names: readonly string[]): Promise<string | undefined> {
  const manifest = await readManifest(folder, names)
  const needed = manifest && neededFiles(manifest.records)
  for (const name of names.filter((file) => tableName.test(file) && needed?.tables.has(Number.parseInt(file, 10)))) {
    const damage = await damageOfTable(join(folder, name))
    if (damage !== undefined) return `${name}: ${damage}`
  }
  return undefined
}

/**
 * Takes back the last change of the MANIFEST if it never was on disk as a whole, and says whether it did. Call it only
 * after LevelDB refused to open, and not because of its lock: another process may be in the middle of that change.
 */
export async function takeBackUnfinished(folder: string): Promise<boolean> {
  const names = await readdir(folder)
  const manifest = await readManifest(folder, names)
  const needed = manifest && neededFiles(manifest.records)
  if (!needed || (manifest.brokenAt === undefined && hasTables(needed, names))) return false
  const kept = manifest.brokenAt === undefined ? manifest.records.slice(0, -1) : manifest.records
  if (!isWhole(neededFiles(kept), names)) return false
  await truncateDurably(join(folder, manifest.name), manifest.ends[kept.length - 1] as number)
  return true
}

/**
 * Finishes the switch to a new MANIFEST, and says whether it did. LevelDB writes one when it opens, names it in CURRENT, and deletes
 * what it has taken over from the logs. Where directory operations are reordered, a loss of power may take back the
 * new name and leave the deletions: then the older MANIFEST leads to less than there was, without any sign.
 */
export function finishSwitch(folder: string): Promise<boolean> {
  return unlessGone(false, () => switchTo(folder))
}

async function switchTo(folder: string): Promise<boolean> {
  const names = await readdir(folder)
  const current = await currentManifest(folder, names)
  if (current === undefined) return false
  const newest = names.filter((name) => manifestName.test(name)).reduce((a, b) => (numberIn(b) > numberIn(a) ? b : a), current)
  if (newest === current) return false
  const { records, brokenAt } = readRecords(await readFile(join(folder, newest)))
  if (brokenAt !== undefined || !isWhole(neededFiles(records), names)) return false
  // It is whole for those who read it now; it must be so after the next loss of power.
  await syncPath(join(folder, newest))
  const renamed = join(folder, 'CURRENT.new')
  await writeFile(renamed, `${newest}\n`)
  await syncPath(renamed)
  // Another process may have opened it just now, and has finished this itself.
  if ((await currentManifest(folder, names)) !== current) return false
  await rename(renamed, join(folder, 'CURRENT'))
  await syncPath(folder)
  return true
}

/**
 * Numbers of tables that LevelDB never writes again when it opens the folder: those that a whole MANIFEST names. Any other
 * number it may give to a new file. `names` are the files of which the folder is a copy.
 */
export async function finishedTables(folder: string, names: readonly string[]): Promise<ReadonlySet<number>> {
  const manifest = await readManifest(folder, names)
  const needed = manifest && manifest.brokenAt === undefined ? neededFiles(manifest.records) : undefined
  return needed && isWhole(needed, names) ? needed.tables : new Set()
}

async function currentManifest(folder: string, names: readonly string[]): Promise<string | undefined> {
  return names.includes('CURRENT') ? (await readFile(join(folder, 'CURRENT'), 'latin1')).trim() : undefined
}

/** What CURRENT names, or undefined where that is missing: LevelDB says so itself. */
async function readManifest(folder: string, names: readonly string[]): Promise<(Records & { readonly name: string }) | undefined> {
  const name = await currentManifest(folder, names)
  return name !== undefined && names.includes(name) ? { name, ...readRecords(await readFile(join(folder, name))) } : undefined
}

const manifestName = /^MANIFEST-\d+$/
const numbered = /^\d+\.(?:ldb|sst|log)$/
const tableName = /^\d+\.(?:ldb|sst)$/

/** What a MANIFEST says must be there: the oldest log (0 where it does not say) and the tables. */
interface NeededFiles {
  readonly log: number
  readonly tables: ReadonlySet<number>
}

/** Whether all is there that the MANIFEST named before its last change: that one reached the disk in front of what it adds. */
function isWholeBefore(records: readonly Buffer[], names: readonly string[]): boolean {
  return isWhole(neededFiles(records.slice(0, -1)), names)
}

function isWhole(needed: NeededFiles | undefined, names: readonly string[]): boolean {
  return needed !== undefined && needed.log > 0 && hasLog(needed, names) && hasTables(needed, names)
}

function hasLog({ log }: NeededFiles, names: readonly string[]): boolean {
  return log === 0 || names.includes(`${fileName(log)}.log`)
}

function hasTables({ tables }: NeededFiles, names: readonly string[]): boolean {
  return [...tables].every((table) => names.includes(`${fileName(table)}.ldb`) || names.includes(`${fileName(table)}.sst`))
}

function numberIn(name: string): number {
  return Number(/\d+/.exec(name)?.[0] ?? 0)
}

function fileName(number: number): string {
  return String(number).padStart(6, '0')
}

/** A file or a folder. */
async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function truncateDurably(path: string, size: number): Promise<void> {
  const file = await open(path, 'r+')
  try {
    await file.truncate(size)
    await file.sync()
  } finally {
    await file.close()
  }
}

interface Records {
  readonly records: Buffer[]
  /** Where each of them ends. */
  readonly ends: number[]
  /** Where a broken one stands, behind which nothing or nothing whole follows. */
  readonly brokenAt: number | undefined
  /** Where a broken one stands that a whole one follows; reading ends there. */
  readonly damagedAt: number | undefined
}

/** The records of a log in LevelDB's format. */
function readRecords(file: Buffer): Records {
  const records: Buffer[] = []
  const ends: number[] = []
  let pieces: Buffer[] = []
  let brokenAt: number | undefined
  let at = 0
  while (at + headerBytes <= file.length) {
    const blockEnd = Math.min(file.length, (Math.floor(at / blockBytes) + 1) * blockBytes)
    if (at + headerBytes > blockEnd) {
      at = blockEnd // What is too short for a header is padding.
      continue
    }
    const length = file.readUInt16LE(at + 4)
    const type = file[at + 6] as number
    const end = at + headerBytes + length
    const stored = storedChecksum(file, at)
    const isType = type >= typeFull && type <= typeLast
    if (end > blockEnd || !isType || stored !== checksum(file, at + 6, end)) {
      brokenAt ??= at
      // The checksum does not cover the length. What is whole with another one was written whole: no crash leaves that.
      if (isType && hasChecksumWithin(file, at + 6, blockEnd, stored)) return { records, ends, brokenAt, damagedAt: brokenAt }
      pieces = []
      // The length may be what is broken: then the next block is where reading can go on.
      at = end > blockEnd || length === 0 ? blockEnd : end
      continue
    }
    const begins = type === typeFull || type === typeFirst
    if (begins && brokenAt !== undefined) return { records, ends, brokenAt, damagedAt: brokenAt }
    if (begins) pieces = []
    pieces.push(file.subarray(at + headerBytes, end))
    if (type === typeFull || type === typeLast) {
      records.push(pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces))
      ends.push(end)
      pieces = []
    }
    at = end
  }
  return { records, ends, brokenAt, damagedAt: undefined }
}

/** Undefined where a record is of a later format: LevelDB judges it. */
function neededFiles(records: readonly Buffer[]): NeededFiles | undefined {
  let log = 0
  const tables = new Set<number>()
  for (const record of records) {
    let at = 0
    while (at < record.length) {
      const tag = number()
      if (tag === tagComparator) skipText()
      else if (tag === tagLogNumber) log = number()
      else if (tag === tagCompactPointer) skip(1, 1)
      else if (tag === tagDeletedFile) {
        number() // Its level, here and below.
        tables.delete(number())
      } else if (tag === tagNewFile) {
        number()
        tables.add(number())
        skip(1, 2)
      } else if (tag <= tagPreviousLog) skip(1, 0)
      else return undefined
    }

    function skip(numbers: number, texts: number): void {
      for (let left = numbers; left > 0; left--) number()
      for (let left = texts; left > 0; left--) skipText()
    }

    function skipText(): void {
      const length = number()
      at += length
    }

    function number(): number {
      let value = 0
      for (let unit = 1; at < record.length; unit *= 128) {
        const byte = record[at++] as number
        value += (byte & 127) * unit
        if (byte < 128) break
      }
      return value
    }
  }
  return { log, tables }
}
