/** What clients and servers share: names, topics, filters, positions, error codes. */
export { asSyncError, errorTable, SyncError, type ErrorCode, type ErrorMeaning } from './errors.ts'
export { controlTopic, parseFilter, type Subscription, type SyncStart } from './filters.ts'
export { TopicFilter } from './topic-filter.ts'
export { decodeName, encodeName, encodeUid, isCanonicalName, isCanonicalUid } from './names.ts'
export { emptyMark, formatPosition, parsePosition, type Position } from './positions.ts'
export { isReservedLevel, openStream, streamName, streamOfTopic, type StreamKind, type TopicRules } from './topics.ts'
