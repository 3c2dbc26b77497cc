/** All checks, in the order of the protocol's chapters. */
import type { Check } from '../check.ts'
import { awsClients } from './aws-clients.ts'
import { awsIot } from './aws-iot.ts'
import { conditions } from './conditions.ts'
import { connections } from './connections.ts'
import { entries } from './entries.ts'
import { events } from './events.ts'
import { history } from './history.ts'
import { limits } from './limits.ts'
import { messages } from './messages.ts'
import { order } from './order.ts'
import { positions } from './positions.ts'
import { problems } from './problems.ts'
import { publishing } from './publishing.ts'
import { puts } from './puts.ts'
import { replies } from './replies.ts'
import { sessionList } from './session-list.ts'
import { sessions } from './sessions.ts'
import { subscribing } from './subscribing.ts'
import { sync } from './sync.ts'
import { tokens } from './tokens.ts'
import { topics } from './topics.ts'
import { webSocket } from './websocket.ts'

export const allChecks: readonly Check[] = [
  ...topics,
  ...positions,
  ...entries,
  ...publishing,
  ...subscribing,
  ...sessions,
  ...puts,
  ...sync,
  ...replies,
  ...connections,
  ...webSocket,
  ...order,
  ...conditions,
  ...tokens,
  ...history,
  ...problems,
  ...limits,
  ...messages,
  ...events,
  ...sessionList,
  ...awsClients,
  ...awsIot,
]
