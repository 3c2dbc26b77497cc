/** What AWS refuses, in words, with what to do about it. */
import { Trouble } from '../doctor/report.ts'
import { unreachable } from '../doctor/unreachable.ts'

/** What was tried, and with what of AWS: for the words. */
export function refusalOf(error: unknown, what: string): Trouble {
  if (error instanceof Trouble) return error
  const { name, message } = error instanceof Error ? error : new Error(String(error))
  const advice = advices.find(([pattern]) => pattern.test(name))?.[1]
  if (advice !== undefined) return new Trouble(`${what}: ${name}: ${message}`, advice, error)
  const { code } = (error ?? {}) as { readonly code?: unknown }
  if (typeof code === 'string' && /^E[A-Z_]+$/.test(code)) {
    const { advice: known } = unreachable('https://aws/', error)
    return new Trouble(`${what}: AWS cannot be reached (${code})`, known, error)
  }
  return new Trouble(`${what}: ${name}: ${message}`, 'look the code up in the documentation of AWS', error)
}

/** Runs it; what AWS refuses is thrown in words. */
export async function asked<Value>(what: string, ask: () => Promise<Value>): Promise<Value> {
  try {
    return await ask()
  } catch (error) {
    throw refusalOf(error, what)
  }
}

const advices: readonly (readonly [RegExp, string])[] = [
  [/^CredentialsProviderError$/, 'give credentials as the AWS SDK finds them: environment, profile, container or instance role'],
  [/^ExpiredToken|^InvalidClientTokenId$|^UnrecognizedClientException$/, 'the credentials have expired or are not known: renew them'],
  [/^SignatureDoesNotMatch$|^InvalidSignatureException$/, 'look at the secret key, and at the clock of this machine'],
  [/^RequestExpired$|^RequestTimeTooSkewed$/, 'set the clock of this machine'],
  [/^AccessDenied|^UnauthorizedOperation$|^NotAuthorized/, 'let these credentials do this, or use those of an administrator'],
  [/^Throttling|^TooManyRequests|^LimitExceeded/, 'the account is at a limit: try again later, or ask AWS to raise it'],
  [/^RegionDisabled/, 'switch the region on in the account, or name another with --region'],
  [/^InsufficientCapabilities/, 'this is a fault of tidemark: report it'],
]
