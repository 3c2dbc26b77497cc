"""awsiotsdk against the stand-in: what to do comes as JSON, what happened goes out as one line of JSON."""
import json
import queue
import sys

from awscrt import auth, mqtt
from awsiot import mqtt_connection_builder

asked = json.loads(sys.argv[1])
credentials = asked["credentials"]
provider = auth.AwsCredentialsProvider.new_static(
    credentials["access_key_id"], credentials["secret_access_key"], credentials["session_token"]
)
wait_s = 20
messages = queue.Queue()


def take(topic, payload, **_more):
    messages.put([topic, payload.decode()])


connection = mqtt_connection_builder.websockets_with_default_aws_signing(
    region=asked["region"],
    credentials_provider=provider,
    endpoint="localhost",
    port=asked["port"],
    ca_filepath=asked["certificate"],
    client_id=asked["clientId"],
    clean_session=True,
)
connection.connect().result(wait_s)
granted = []
for wanted in (asked["topic"], asked["envelopes"]):
    future, _ = connection.subscribe(wanted, mqtt.QoS.AT_LEAST_ONCE, take)
    granted.append(int(future.result(wait_s)["qos"]))
published, _ = connection.publish(asked["topic"], "hello", mqtt.QoS.AT_LEAST_ONCE)
published.result(wait_s)
received = [messages.get(timeout=wait_s) for _ in range(2)]
connection.disconnect().result(wait_s)
print(json.dumps({"granted": granted, "messages": received}))
