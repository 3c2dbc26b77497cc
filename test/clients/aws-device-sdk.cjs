// AWS's own client against the stand-in: what to do comes as JSON, what happened goes out as one line of JSON.
const { readFileSync } = require('node:fs')
const { auth, iot, mqtt, mqtt5 } = require('aws-iot-device-sdk-v2')

const { version, port, certificate, region, clientId, credentials, topic, envelopes, denied } = JSON.parse(process.argv[2])
const ca = readFileSync(certificate, 'utf8')
const { access_key_id: id, secret_access_key: secret, session_token: token } = credentials
const provider = auth.AwsCredentialsProvider.newStatic(id, secret, token)
const messages = []
let arrived = () => {}
const take = (name, payload) => {
  messages.push([name, Buffer.from(payload).toString()])
  arrived()
}
const all = (count) =>
  new Promise((resolve) => {
    arrived = () => (messages.length >= count ? resolve() : undefined)
    arrived()
  })

async function three() {
  const builder = iot.AwsIotMqttConnectionConfigBuilder.new_with_websockets({ region, credentials_provider: provider })
  builder.with_clean_session(true).with_client_id(clientId).with_endpoint('localhost').with_port(port).with_certificate_authority(ca)
  const connection = new mqtt.MqttClient().new_connection(builder.build())
  connection.on('error', () => {})
  await connection.connect()
  const granted = []
  for (const filter of [topic, envelopes]) granted.push((await connection.subscribe(filter, mqtt.QoS.AtLeastOnce, take)).qos)
  await connection.publish(topic, 'hello', mqtt.QoS.AtLeastOnce)
  await all(2)
  await connection.disconnect()
  return { granted, messages }
}

async function five() {
  const sigv4 = { region, credentialsProvider: provider }
  const builder = iot.AwsIotMqtt5ClientConfigBuilder.newWebsocketMqttBuilderWithSigv4Auth('localhost', sigv4)
  builder.withConnectProperties({ clientId, keepAliveIntervalSeconds: 60 }).withCertificateAuthority(ca)
  const config = builder.build()
  config.port = port
  const client = new mqtt5.Mqtt5Client(config)
  client.on('error', () => {})
  client.on('messageReceived', ({ message }) => take(message.topicName, message.payload))
  const connected = new Promise((resolve, reject) => {
    client.on('connectionSuccess', ({ connack }) => resolve(connack.maximumQos))
    client.on('connectionFailure', ({ error }) => reject(error))
  })
  client.start()
  const maximumQos = await connected
  const subscriptions = [topic, envelopes, denied].map((topicFilter) => ({ topicFilter, qos: 1 }))
  const { reasonCodes } = await client.subscribe({ subscriptions })
  await client.publish({ topicName: topic, payload: 'hello', qos: 1 })
  await all(2)
  const refused = await client.publish({ topicName: denied, payload: 'x', qos: 1 })
  const stopped = new Promise((resolve) => client.on('stopped', resolve))
  client.stop()
  await stopped
  return { maximumQos, granted: reasonCodes, messages, refused: refused.reasonCode }
}

;(version === 5 ? five() : three()).then(
  (found) => {
    console.log(JSON.stringify(found))
    process.exit(0)
  },
  (error) => {
    console.log(String(error?.error_name ?? error))
    process.exit(1)
  },
)
