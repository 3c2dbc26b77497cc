export { Broker, type BrokerParts, type BrokerStats } from './broker.ts'
