/** Who takes part in a run. */
import { followBySdk, publishBySdk, publishToAws, roamBySdk } from './aws.ts'
import { relayStreams, streams, type Context } from './context.ts'
import { publishOverHttp, raceConditions, readOverHttp } from './http.ts'
import { beTwins, intrude, leaveWills, revokeGuests, withdrawGuests } from './others.ts'
import { keep, lookIn } from './plain.ts'
import { publishExactlyOnce, publishOnce, speakLive } from './publishers.ts'
import { putAgain } from './putters.ts'
import { follow, roam } from './sync.ts'

export interface Cast {
  /** They end when nothing new is published and what is under way is settled. */
  readonly writers: readonly Promise<void>[]
  readonly readers: readonly Promise<void>[]
}

const team = ['spaces/team']
export const everyStream = [...streams, ...relayStreams]

export function followerOf(stream: string): string {
  return `follow-${stream.replace('/', '-')}`
}

/** Everybody who talks to servers of ours. */
export function castOf(context: Context): Cast {
  return {
    writers: [
      publishOnce(context, 'once-a', 'alice', ['users/alice', ...team]),
      publishOnce(context, 'once-b', 'bob', ['users/bob', ...team]),
      publishOnce(context, 'once-c', 'bob', team),
      publishExactlyOnce(context, 'exactly-a', 'alice', ['users/alice', ...team]),
      publishExactlyOnce(context, 'exactly-b', 'bob', ['users/bob']),
      ...putters(context),
      ...requests(context),
      speakLive(context, 'live-a', 'alice', ['users/alice', ...team]),
      speakLive(context, 'live-b', 'bob', ['users/bob', ...team]),
      leaveWills(context, 'will-a'),
      leaveWills(context, 'will-b'),
      revokeGuests(context, 'x'),
      revokeGuests(context, 'y'),
      intrude(context, 'intruder'),
      beTwins(context, 'twin-a'),
      beTwins(context, 'twin-b'),
      beTwins(context, 'twin-c'),
      withdrawGuests(context, 'w'),
    ],
    readers: [
      ...everyStream.map((stream) => follow(context, followerOf(stream), stream)),
      roam(context, 'roam-a'),
      roam(context, 'roam-b'),
      keep(context, 'kept-alice', 'alice', ['users/alice', ...team]),
      keep(context, 'kept-bob', 'bob', ['users/bob', ...team]),
      lookIn(context, 'brief', 'carol', team),
      readOverHttp(context, 'pages-a'),
      readOverHttp(context, 'pages-b'),
    ],
  }
}

/** Where AWS IoT Core carries MQTT: what it has no promise for takes no part [P-20.1]. */
export function castAtAws(context: Context): Cast {
  return {
    writers: [
      publishToAws(context, 'device-a', 'alice', ['users/alice', ...team]),
      publishToAws(context, 'device-b', 'bob', ['users/bob', ...team]),
      publishBySdk(context, 'sdk-a', 'alice', ['users/alice', 'outbox/alice', ...team]),
      publishBySdk(context, 'sdk-b', 'bob', ['users/bob', ...team]),
      ...putters(context),
      ...requests(context),
      speakLive(context, 'live-a', 'alice', ['users/alice', ...team]),
    ],
    readers: [
      ...everyStream.map((stream) => followBySdk(context, followerOf(stream), stream)),
      roamBySdk(context, 'roam-a'),
      readOverHttp(context, 'pages-a'),
    ],
  }
}

function putters(context: Context): Promise<void>[] {
  return [
    putAgain(context, 'put-a', 'alice', ['users/alice', ...team]),
    putAgain(context, 'put-b', 'bob', ['users/bob', ...team]),
    putAgain(context, 'put-c', 'bob', team),
    ...['put-r', 'put-s', 'put-t'].map((name) => putAgain(context, name, 'alice', ['outbox/alice'])),
  ]
}

function requests(context: Context): Promise<void>[] {
  return [
    publishOverHttp(context, 'http-a'),
    publishOverHttp(context, 'http-b'),
    raceConditions(context, 'race-a'),
    raceConditions(context, 'race-b'),
  ]
}
