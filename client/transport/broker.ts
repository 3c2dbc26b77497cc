/** MQTT with whoever carries it, as token exchange says: the server itself, or AWS IoT Core. The app notices nothing. */
import type { Surroundings } from '../request.ts'
import { mqttTransport } from './mqtt.ts'
import type { Transport } from './transport.ts'

export function brokerTransport(surroundings: Surroundings): Transport {
  const mqtt = mqttTransport(surroundings)
  let aws: Transport | undefined
  let present = mqtt
  return {
    get kind() {
      return present.kind
    },
    get putsInFlightMax() {
      return present.putsInFlightMax
    },
    async open(credential, events, signal) {
      // Loaded where it is needed, as mqtt.js is.
      if (credential.aws) aws ??= (await import('./aws.ts')).awsTransport(surroundings)
      present = (credential.aws && aws) ?? mqtt
      return present.open(credential, events, signal)
    },
  }
}
