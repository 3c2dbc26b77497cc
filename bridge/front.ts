/** What `/` says to whoever is no browser [P-19.1]. */

export function frontText(version: string, openEnabled: boolean): string {
  return `Tidemark ${version}

An MQTT sync broker: every user and every shared space has one ordered, durable log.
MQTT over WebSocket is at /mqtt on this port; HTTP reads and writes the same log:

  GET  /v1/streams/{kind}/{id}/entries   a page of history
  POST /v1/streams/{kind}/{id}/entries   publish one entry
  GET  /v1/streams/{kind}/{id}/state     the last retained entry of each topic
  DELETE /v1/streams/{kind}/{id}         erase it
  DELETE /v1/streams/{kind}/{id}/members/{uid}   withdraw a member from a space
  GET  /v1/events                        history and what follows, as an event stream
  GET  /v1/sessions                      your MQTT sessions, and how far each is behind
  POST /v1/token                         exchange a token (RFC 8693)
  POST /v1/dev/token                     a token of any user, in development mode
  POST /v1/revocations                   revoke tokens
  GET  /.well-known/jwks.json            public keys of broker tokens
  GET  /healthz, /readyz, /metrics       for operators
  GET  /openapi.json                     all of this as OpenAPI
  GET  /console/{file}                   what the page needs that a browser gets here

{kind} is users, spaces, inbox or outbox${openEnabled ? ', or open with the id -' : ''}. Requests carry "Authorization: Bearer TOKEN".
The protocol is docs/PROTOCOL.md of the package tidemark.
`
}
