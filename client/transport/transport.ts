/** The seam between the SDK and the network: what a way to the server must do. Contract suite: `test/client/transport-contract.ts`. */
import type { ClientError } from '../errors.ts'
import type { Control, Envelope, Put, PutAnswer } from '../wire.ts'

/** What the server gave for the app's token [P-10.19]. */
export interface Credential {
  readonly token: string
  /** The MQTT client id that the token is bound to. */
  readonly clientId: string
  /** Whom the server takes us for, as far as the token tells. */
  readonly uid: string | undefined
  readonly mqttUrl: string
  readonly httpUrl: string
  /** Bounds of the server beyond which it closes an MQTT connection: of a payload and of a topic, door's prefix included [P-13.4 – P-13.6]. */
  readonly packetBytesMax: number
  readonly topicBytesMax: number
  readonly topicLevelsMax: number
  /** Filters of one session [P-13.9]. */
  readonly filtersMax: number
  /** Where AWS IoT Core carries MQTT [P-10.30]. */
  readonly aws?: AwsCredential
}

export interface AwsCredential {
  /** As in CONNECT; `clientId` is the same, encoded. */
  readonly clientId: string
  /** Stands before every topic. */
  readonly root: string
  /** The grants, in their text form: AWS closes the connection for what they do not cover. */
  readonly scope: readonly string[]
  /** Until when `mqttUrl` opens connections, by `timers.now()`. */
  readonly urlEndsAtMs: number
}

export interface Transport {
  readonly kind: string
  /** How many puts of one stream may be under way and still be appended in the order of their calls. */
  readonly putsInFlightMax: number
  /**
   * Opens a session. Rejects with the server's code where the token is refused (`unauthorized`, `token-expired`,
   * `forbidden`, `too-many-requests`, …), with `network` where the server was not reached or did not answer.
   */
  open(credential: Credential, events: SessionEvents, signal: AbortSignal): Promise<Session>
}

/** What a session tells. Nothing is told before `open` has resolved or after `closed`. */
export interface SessionEvents {
  /** An entry of a followed filter. In log order; those of one session and filter have no gap after the first `at`. */
  entry(filter: string, envelope: Envelope): void
  /** A control message of a followed filter. The first one is `at`, with the head from which on entries come. */
  control(filter: string, control: Control): void
  /** The filter is not granted, or there are too many. */
  refused(filter: string): void
  /** The token's end is near [P-7.4]. */
  expiring(inMs: number): void
  /** The session is over, once. `undefined` where the client closed it. */
  closed(reason: ClientError | undefined): void
}

export interface ClockOffset {
  readonly offsetMs: number
  readonly errorMs: number
}

export interface Session {
  /** Begins to deliver what is appended below `filter`, a stream's name and a filter below it: `spaces/board-7/#`. */
  follow(filter: string): void
  unfollow(filter: string): void
  /**
   * Publishes to a full topic. Resolves with the answer, good or bad. Rejects with `network` where no answer came:
   * the entry may have been appended.
   */
  put(topic: string, put: Put): Promise<PutAnswer>
  /** Gives the session a fresh token [P-7.9]. Rejects with the reason where it is refused; the session goes on. */
  renew(credential: Credential): Promise<void>
  /** One round trip, to find out whether the server is still there. Rejects with `network`. */
  probe(): Promise<void>
  /** The server's clock less `timers.wallMs()`, and how far that may be off; undefined before the first `at`. */
  clockOffset(): ClockOffset | undefined
  close(): void
}
