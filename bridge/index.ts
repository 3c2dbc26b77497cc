/** The log over HTTP: history, state, publishing, tokens, and what operators need. */
export { Bridge } from './bridge.ts'
export { Metrics, type MetricsGauges } from './metrics.ts'
export { Origins, type OriginRules } from './origins.ts'
export type { BridgeAuthority, BridgeParts, ConsoleFiles, HeldSession, ReadinessCheck, SessionsPage, SessionsQuery } from './parts.ts'
export { AwsBridge, type AwsBridgeParts } from './aws-iot/aws-bridge.ts'
