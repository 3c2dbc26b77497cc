/** All rows of the table, in its order. */
import { absentReaders } from './absence.ts'
import { awsCost, awsEngine } from './aws.ts'
import { driverCost } from './driver-cost.ts'
import { fixedRate } from './fixed-rate.ts'
import { followed } from './followed.ts'
import { hints } from './hints.ts'
import { idleConnections } from './idle-connections.ts'
import { nodeAbsence } from './node-absence.ts'
import { nodes } from './nodes.ts'
import { manyStreams } from './many-streams.ts'
import { sdkFirstSync } from './sdk-first-sync.ts'
import { sdkLatency } from './sdk-latency.ts'
import { sdkPublish } from './sdk-publish.ts'
import { sdkSize } from './sdk-size.ts'
import type { Shape } from './shape.ts'
import { stalledReader } from './stalled-reader.ts'
import { throughput } from './throughput.ts'

export const shapes: readonly Shape[] = [
  throughput({
    name: 'window-64',
    title: '4 publishers to 1 subscriber each, window 64',
    goalRatio: 1.8,
    peer: 'memory',
    door: 'mqtt',
    load: { window: 64 },
  }),
  throughput({
    name: 'window-64-durable',
    title: 'the same, the peer writing through to disk',
    goalRatio: 3,
    peer: 'sqlite',
    door: 'mqtt',
    load: { window: 64 },
  }),
  throughput({ name: 'window-512', title: 'the same, window 512', goalRatio: 5, peer: 'memory', door: 'mqtt', load: { window: 512 } }),
  throughput({
    name: 'fan-out-5',
    title: 'fan-out to 5: 4 publishers to 5 subscribers each, window 64',
    goalRatio: 4.5,
    peer: 'memory',
    door: 'mqtt',
    load: { subscribers: 5 },
  }),
  throughput({
    name: 'websocket',
    title: '4 publishers to 1 subscriber each over WebSocket, window 64',
    goalRatio: 1.2,
    peer: 'memory',
    door: 'ws',
    load: {},
  }),
  throughput({
    name: 'websocket-fan-out-5',
    title: 'fan-out to 5 over WebSocket',
    goalRatio: 2.5,
    peer: 'memory',
    door: 'ws',
    load: { subscribers: 5 },
  }),
  throughput({
    name: 'clients-1000',
    title: '500 publishers + 500 subscribers, one message outstanding each',
    goalRatio: 0.8,
    peer: 'memory',
    door: 'mqtt',
    load: { publishers: 500, window: 1 },
  }),
  fixedRate,
  absentReaders,
  stalledReader,
  idleConnections,
  manyStreams,
  sdkFirstSync('node'),
  sdkFirstSync('chromium'),
  sdkLatency,
  sdkPublish('node'),
  sdkPublish('chromium'),
  sdkSize,
  nodes,
  driverCost,
  nodeAbsence,
  hints,
  followed,
  awsEngine,
  awsCost,
]
