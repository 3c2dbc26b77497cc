/** MQTT over WebSocket, by the contract of all transports. */
import { mqttTransport } from '../../client/transport/mqtt.ts'
import { transportContract } from './transport-contract.ts'

transportContract('mqtt', mqttTransport)
