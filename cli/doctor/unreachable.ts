/** Why an address cannot be reached, in words, from what the system says. */
import { Trouble } from './report.ts'

/** How long each step may take. */
export const stepTimeoutMs = 10_000

export function unreachable(url: string, error: unknown): Trouble {
  const { protocol, host, hostname } = new URL(url)
  const code = codeOf(error)
  const is = (...codes: string[]): boolean => codes.includes(code)
  if (is('ECONNREFUSED')) {
    return trouble(`nothing listens at ${host}`, 'start the server, or correct host and port: `tidemark serve` prints both')
  }
  if (is('ENOTFOUND', 'EAI_AGAIN'))
    return trouble(`the name ${hostname} is not known here`, 'correct the name, or look at the DNS of this machine')
  if (
    is('EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT', 'UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'TimeoutError', 'connack timeout')
  ) {
    return trouble(`${host} does not answer`, 'look for a firewall in between, or a wrong address')
  }
  if (is('ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG', 'EPROTO')) {
    return trouble(`${host} does not speak TLS`, `write ${protocol.replace(/s:$/, ':')}// or give the port that has TLS`)
  }
  if (/CERT|SELF_SIGNED|UNABLE_TO_VERIFY/.test(code)) {
    return trouble(
      `the certificate of ${host} does not prove who it is (${code})`,
      'renew it, let it name this host, or let Node know its authority with NODE_EXTRA_CA_CERTS',
    )
  }
  if (/^HPE_|^UND_ERR_SOCKET$|^ECONNRESET$|[Hh]eader flag bits|[Pp]acket/.test(code)) {
    return trouble(
      `${host} ends the connection or answers in another protocol (${code})`,
      `look whether this is the port of something else, of ${/^mqtts?:$/.test(protocol) ? 'HTTP' : 'MQTT'} for example`,
    )
  }
  return trouble(`${host} cannot be reached: ${code}`, 'look at the address, and at what stands in between')

  function trouble(what: string, advice: string): Trouble {
    return new Trouble(what, advice, error)
  }
}

/** The first code on the way to the cause; otherwise what the error says of itself. */
function codeOf(error: unknown): string {
  for (let at: unknown = error; at instanceof Error; at = at.cause ?? (at as { errors?: unknown[] }).errors?.[0]) {
    const { code } = at as { code?: unknown }
    if (typeof code === 'string' && code !== 'store-unavailable') return code
    if (at.name === 'TimeoutError') return at.name
  }
  return error instanceof Error ? error.message : String(error)
}
