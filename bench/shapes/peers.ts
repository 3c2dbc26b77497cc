/** The servers we compare with, where this machine has them. */
import type { Broker } from '../brokers/broker.ts'
import { findMosquitto, findMosquittoSqlite, raisedLimits, sqliteSettings, startMosquitto } from '../brokers/mosquitto.ts'

export type PeerKind = 'memory' | 'memory, raised limits' | 'sqlite'

/** Starts the peer; undefined where it is not to be had here. */
export async function startPeer(kind: PeerKind, folder: string): Promise<Broker | undefined> {
  if (kind === 'sqlite') {
    const found = findMosquittoSqlite()
    if (!found) return undefined
    return await startMosquitto({
      binary: found.binary,
      folder,
      settings: [...raisedLimits, 'persistence true', ...sqliteSettings(found.plugin, folder)],
    })
  }
  const binary = findMosquitto()
  if (binary === undefined) return undefined
  return await startMosquitto({ binary, folder, settings: kind === 'memory' ? [] : raisedLimits })
}

export function absence(kind: PeerKind): string {
  return kind === 'sqlite' ? 'mosquitto 2.1 with persist-sqlite is not to be had here' : 'mosquitto is not to be had here'
}
