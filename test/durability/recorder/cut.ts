/**
 * Rebuilds the recorded folder as a loss of power right after one event could have left it.
 *
 * What survives of the names, by directory model:
 *   ordered   directory operations reach the disk in order, and any sync takes along all that came before it (ext4, XFS)
 *   own-name  a file's sync keeps the file's own name, its folder's sync everything; each other operation survives by chance
 *   random    only a folder's sync keeps its operations (POSIX); each other survives by chance
 *   none      as before, and none of the others survives
 * What survives of a file's bytes behind its last sync, by tail mode:
 *   exact     nothing
 *   prefix    a random part
 *   zeroed    a random part, then zeros up to the size it had
 *   pages     random pages of 4,096 bytes, zeros in place of the others
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { DiskEvent, Recording } from './recording.ts'

export const directoryModels = ['ordered', 'own-name', 'random', 'none'] as const
export type DirectoryModel = (typeof directoryModels)[number]
export const tailModes = ['exact', 'prefix', 'zeroed', 'pages'] as const
export type TailMode = (typeof tailModes)[number]

export interface Cut {
  /** The number of the last event that happened. */
  readonly at: number
  readonly model: DirectoryModel
  readonly tail: TailMode
  /** Draws from [0, 1). */
  readonly random: () => number
}

const pageBytes = 4_096

type DirectoryOperation = Extract<DiskEvent, { kind: 'create' | 'unlink' | 'mkdir' | 'rename' }>

/** What had reached the disk for certain at the moment of the cut. */
interface Disk {
  readonly operations: DirectoryOperation[]
  readonly files: Map<string, { written: number; synced: number; syncedSince: number }>
  /** By folder: its operations up to this event. */
  readonly folders: Map<string, number>
  /** The newest event covered by any sync at all. */
  anySince: number
}

/** Writes what is left to `target`, which must be a new folder. Resolves with how many operations were lost. */
export function cutInto(target: string, recording: Recording, cut: Cut): { operationsLost: number } {
  const disk = diskAt(recording, cut.at)
  const survives = survivors(disk, cut)
  const names = new Map<string, string>()
  const folders = new Set(['.'])
  let operationsLost = 0
  for (const operation of disk.operations) {
    if (!survives(operation)) operationsLost++
    else if (operation.kind === 'mkdir') {
      // A folder whose own folder has lost its name is not reached any more.
      if (folders.has(dirname(operation.path))) folders.add(operation.path)
    } else if (operation.kind === 'create') names.set(operation.path, operation.inode)
    else if (operation.kind !== 'rename') names.delete(operation.path)
    else {
      if (names.get(operation.path) === operation.inode) names.delete(operation.path)
      names.set(operation.to, operation.inode)
    }
  }
  for (const folder of folders) mkdirSync(join(target, folder), { recursive: true })
  for (const [path, inode] of names) {
    if (!folders.has(dirname(path))) continue
    const { written, synced } = disk.files.get(inode) ?? { written: 0, synced: 0 }
    const bytes = readFileSync(join(recording.side, 'inodes', inode))
    writeFileSync(join(target, path), tailOf(bytes, synced, Math.max(written, synced), cut))
  }
  return { operationsLost }
}

function diskAt({ events }: Recording, at: number): Disk {
  const disk: Disk = { operations: [], files: new Map(), folders: new Map(), anySince: 0 }
  const fileOf = (inode: string): { written: number; synced: number; syncedSince: number } => {
    const file = disk.files.get(inode) ?? { written: 0, synced: 0, syncedSince: 0 }
    disk.files.set(inode, file)
    return file
  }
  for (const event of events) {
    if (event.at > at) break
    if (event.kind === 'write') fileOf(event.inode).written = event.size
    else if (event.kind === 'truncate') Object.assign(fileOf(event.inode), { written: event.size, synced: 0 })
    else if (event.kind === 'sync') {
      const file = fileOf(event.inode)
      file.synced = Math.max(file.synced, event.size)
      file.syncedSince = event.since
      disk.anySince = Math.max(disk.anySince, event.since)
    } else if (event.kind === 'sync-directory') {
      disk.folders.set(event.path, Math.max(disk.folders.get(event.path) ?? 0, event.since))
      disk.anySince = Math.max(disk.anySince, event.since)
    } else if (event.kind === 'create' || event.kind === 'unlink' || event.kind === 'mkdir' || event.kind === 'rename') {
      disk.operations.push(event)
    }
  }
  return disk
}

/** Which directory operations are still there; each is asked for once, in order. */
function survivors(disk: Disk, { model, random }: Cut): (operation: DirectoryOperation) => boolean {
  if (model === 'ordered') {
    const pending = disk.operations.filter(({ at }) => at > disk.anySince)
    const upTo = pending[Math.floor(random() * (pending.length + 1)) - 1]?.at ?? disk.anySince
    return ({ at }) => at <= upTo
  }
  const synced = ({ at, path }: DirectoryOperation): boolean => at <= (disk.folders.get(dirname(path)) ?? 0)
  const chance = (): boolean => model !== 'none' && random() < 0.5
  if (model !== 'own-name') return (operation) => synced(operation) || chance()
  const ownName = (operation: DirectoryOperation): boolean => {
    if (operation.kind === 'create') return (disk.files.get(operation.inode)?.syncedSince ?? 0) >= operation.at
    // A file whose sync keeps its name can be reached by that name.
    return (
      operation.kind === 'mkdir' &&
      disk.operations.some((other) => other.path !== operation.path && dirname(other.path) === operation.path && ownName(other))
    )
  }
  return (operation) => synced(operation) || ownName(operation) || chance()
}

function tailOf(bytes: Buffer, synced: number, written: number, { tail, random }: Cut): Buffer {
  if (tail === 'exact' || written === synced) return bytes.subarray(0, synced)
  const kept = synced + Math.floor(random() * (written - synced + 1))
  if (tail === 'prefix') return bytes.subarray(0, kept)
  const left = Buffer.alloc(written)
  bytes.copy(left, 0, 0, tail === 'zeroed' ? kept : synced)
  if (tail === 'zeroed') return left
  for (let start = synced; start < written;) {
    const end = Math.min(written, (Math.floor(start / pageBytes) + 1) * pageBytes)
    if (random() < 0.5) bytes.copy(left, start, start, end)
    start = end
  }
  return left
}
