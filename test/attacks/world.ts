/** The servers under attack, their victim, and the tokens of everybody. */
import { createHmac, createSecretKey, generateKeyPairSync, randomUUID, type KeyObject } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { createLogger } from '../../cli/logger.ts'
import { RawClient } from '../support/raw-mqtt.ts'
import { testServer, type TestServer } from '../support/server.ts'
import { tempFolder } from '../support/temp.ts'
import { Inbox } from '../support/waiting.ts'

export const mainIssuer = 'https://app.test'
export const guestIssuer = 'https://guest.test'
export const audience = 'tidemark'
/** Every payload of the victim holds it; no answer to an attacker may. */
export const secretMark = 'TOP-SECRET'
export const allowedOrigin = 'https://page.test'
export const guestSecret = 'the secret of the guests, which is longer than thirty-two bytes'

export interface World {
  /** Tokens of two issuers; the open stream is off. */
  readonly main: TestServer
  /** Development mode; the open stream is on, also for clients without credentials. */
  readonly dev: TestServer
  /** Every log line of both. */
  readonly lines: Inbox<string>
  readonly tokens: Tokens
  readonly victim: Victim
  stop(): Promise<void>
}

export async function makeWorld(): Promise<World> {
  const folder = await tempFolder()
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const publicKeyFile = join(folder, 'issuer.pem')
  await writeFile(publicKeyFile, pem)
  const lines = new Inbox<string>()
  const logger = createLogger('debug', { write: (line) => lines.add(line) })
  const issuers = [
    { issuer: mainIssuer, algorithms: ['RS256' as const], publicKeyFile, mayGrant: true },
    { issuer: guestIssuer, prefix: 'guest', algorithms: ['HS256' as const], secret: guestSecret },
  ]
  const limits = { lingerMs: 200 }
  const main = await testServer({ settings: { issuers, corsOrigins: [allowedOrigin], limits }, overrides: { logger } })
  const dev = await testServer({ settings: { open: true, anonymous: true, limits }, overrides: { logger } })
  const tokens = new Tokens(rsa.privateKey, pem)
  const victim = await Victim.open(main, tokens)
  const stop = async (): Promise<void> => {
    victim.tab.destroy()
    await Promise.all([main.stop(), dev.stop()])
  }
  return { main, dev, lines, tokens, victim, stop }
}

export interface TokenChange {
  readonly alg?: string
  readonly key?: KeyObject | Uint8Array
  readonly header?: Readonly<Record<string, unknown>>
  /** `undefined` leaves the claim out. */
  readonly claims?: Readonly<Record<string, unknown>>
}

/** Tokens of the main issuer, good and bad. */
export class Tokens {
  readonly #key: KeyObject
  readonly publicPem: string
  /** All ever made here: none may stand in a log line. */
  readonly made = new Set<string>()

  constructor(key: KeyObject, publicPem: string) {
    this.#key = key
    this.publicPem = publicPem
  }

  /** A good one for an hour, unless changed. */
  async of(sub: string, { alg = 'RS256', key = this.#key, header = {}, claims = {} }: TokenChange = {}): Promise<string> {
    const token = await new SignJWT(this.#claims(sub, claims)).setProtectedHeader({ alg, typ: 'JWT', ...header }).sign(key)
    this.made.add(token)
    return token
  }

  guest(sub: string, claims: Readonly<Record<string, unknown>> = {}): Promise<string> {
    return this.of(sub, { alg: 'HS256', key: createSecretKey(guestSecret, 'utf8'), claims: { iss: guestIssuer, ...claims } })
  }

  /** Signed by nobody. */
  unsigned(sub: string, alg = 'none'): string {
    return this.#keep(`${encode({ alg, typ: 'JWT' })}.${encode(this.#claims(sub, {}))}.`)
  }

  /** An HMAC over the public key, for servers that take it for a secret. */
  publicKeyAsSecret(sub: string): string {
    const body = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(this.#claims(sub, {}))}`
    return this.#keep(`${body}.${createHmac('sha256', this.publicPem).update(body).digest('base64url')}`)
  }

  /** A good token of somebody else's, its claims exchanged for others. */
  async forged(sub: string): Promise<string> {
    const [header, , signature] = (await this.of('alice')).split('.')
    return this.#keep(`${header}.${encode(this.#claims(sub, {}))}.${signature}`)
  }

  keep(token: string): string {
    return this.#keep(token)
  }

  #keep(token: string): string {
    this.made.add(token)
    return token
  }

  #claims(sub: string, changed: Readonly<Record<string, unknown>>): Record<string, unknown> {
    const iat = Math.floor(Date.now() / 1000)
    const all = { iss: mainIssuer, aud: audience, sub, iat, exp: iat + 3_600, jti: randomUUID(), ...changed }
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
  }
}

function encode(json: object): string {
  return Buffer.from(JSON.stringify(json)).toString('base64url')
}

/** Bob: his data, his open tab, and a session that waits for him. */
export class Victim {
  readonly tab: RawClient
  /** How often it has published since it is there. */
  spoken = 0
  readonly #server: TestServer

  static readonly clientId = 'bobs-tab'
  static readonly sessionId = 'bobs-phone'

  static async open(server: TestServer, tokens: Tokens): Promise<Victim> {
    const token = await tokens.of('bob', { claims: { spaces: { board: 'own' } } })
    const phone = await RawClient.open(server.ports.mqtt)
    await phone.connect({ clientId: Victim.sessionId, clean: false, password: token })
    await phone.subscribe('users/bob/#')
    await phone.disconnect()
    const tab = await RawClient.open(server.ports.mqtt)
    await tab.connect({ clientId: Victim.clientId, password: token })
    await tab.subscribe(['users/bob/#', 'spaces/board/#', `reply/${Victim.clientId}/#`])
    const victim = new Victim(tab, server)
    await tab.publish('users/bob/secret', `${secretMark} retained`, { retain: true })
    await tab.publish('spaces/board/note', 'of bob', { retain: true })
    await victim.speak()
    return victim
  }

  private constructor(tab: RawClient, server: TestServer) {
    this.tab = tab
    this.#server = server
  }

  /** Publishes a secret; when it resolves, it has been written to everybody who gets it. */
  async speak(): Promise<void> {
    this.spoken++
    await this.tab.publish('users/bob/notes/1', `${secretMark} live`)
  }

  /** Where the victim's streams stand, and what is retained there. */
  async standing(): Promise<string> {
    const { log } = this.#server.running
    const streams = await Promise.all(
      ['users/bob', 'spaces/board'].map(async (name) => {
        const stream = await log.stream(name)
        const fold = await log.state(stream)
        const retained = fold.states().map(({ entry }) => `${entry.topic}@${entry.seq}`)
        return `${name} ${stream.headSeq} ${retained.join(' ')}`
      }),
    )
    return streams.join('; ')
  }
}
