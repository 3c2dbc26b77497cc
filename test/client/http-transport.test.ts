/** Plain HTTP, by the contract of all transports. */
import { httpTransport } from '../../client/transport/http.ts'
import { transportContract } from './transport-contract.ts'

transportContract('http', httpTransport)
