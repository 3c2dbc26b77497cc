/** Why the socket of a connection is not read at the moment; several reasons may hold at once. */
export const hold = { connecting: 1, subscribing: 2, appends: 4, engine: 8, unread: 16, stopping: 32 } as const
