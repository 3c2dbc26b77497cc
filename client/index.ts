/** The SDK for browsers and Node: `connect({ url, getToken })`. */
export { connect } from './client.ts'
export type * from './api.ts'
export type { Codec, Clear } from './codec.ts'
export type { Entry, Receipt } from './entry.ts'
export { ClientError, type ClientErrorCode } from './errors.ts'
export type { Transport, Session, SessionEvents, Credential } from './transport/transport.ts'
export type { OutboxStore, Waiting } from './outbox/store.ts'
