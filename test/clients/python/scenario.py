"""paho-mqtt against a server: `scenario.py HOST PORT TRANSPORT TOKEN`. Prints what happened as one line of JSON."""
import json
import queue
import sys

import paho.mqtt.client as mqtt

host, port, transport, token = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
wait_s = 20


class Peer:
    """One client; what it gets stands in queues."""

    def __init__(self, client_id, clean=True, will=None, acknowledges=True):
        self.messages, self.connects, self.subscribes, self.disconnects = queue.Queue(), queue.Queue(), queue.Queue(), queue.Queue()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean, transport=transport)
        if transport == "websockets":
            self.client.ws_set_options(path="/mqtt")
        self.client.username_pw_set("alice", token)
        if will is not None:
            self.client.will_set(*will)
        self.client.reconnect_on_failure = False
        self.client.on_message = lambda _c, _u, message: self.messages.put(message)
        self.client.on_connect = lambda _c, _u, flags, reason, _p: self.connects.put((flags.session_present, str(reason)))
        self.client.on_subscribe = lambda _c, _u, _m, reasons, _p: self.subscribes.put([str(reason) for reason in reasons])
        self.client.on_disconnect = lambda _c, _u, _f, reason, _p: self.disconnects.put(str(reason))
        self.client.connect(host, port)
        self.client.loop_start()
        self.present, self.reason = self.connects.get(timeout=wait_s)

    def subscribe(self, *filters, qos=2):
        self.client.subscribe([(one, qos) for one in filters])
        return self.subscribes.get(timeout=wait_s)

    def publish(self, topic, payload, qos=1, retain=False):
        self.client.publish(topic, payload, qos, retain).wait_for_publish(wait_s)

    def take(self, count=1):
        taken = [self.messages.get(timeout=wait_s) for _ in range(count)]
        return [[m.topic, m.payload.decode(), m.qos, m.retain] for m in taken]

    def end(self):
        self.client.disconnect()
        self.client.loop_stop()


root = f"users/alice/paho-{transport}"
result = {}

reader = Peer(f"reader-{transport}")
result["granted"] = reader.subscribe(f"{root}/qos/#", "users/bob/#")
for qos in (0, 1, 2):
    reader.publish(f"{root}/qos/{qos}", f"at {qos}", qos)
result["qos"] = reader.take(3)

reader.publish(f"{root}/kept", "kept", 1, True)
late = Peer(f"late-{transport}")
late.subscribe(f"{root}/kept")
result["retained"] = late.take()
late.end()

reader.subscribe(f"{root}/will")
mortal = Peer(f"mortal-{transport}", will=(f"{root}/will", "gone", 1, False))
mortal.client.loop_stop()
mortal.client.socket().close()
result["will"] = reader.take()

away = Peer(f"away-{transport}", clean=False)
away.subscribe(f"{root}/missed/#", qos=1)
away.end()
for number in range(200):
    reader.client.publish(f"{root}/missed/{number % 3}", str(number), 1 + number % 2)
reader.publish(f"{root}/missed/0", "last")
away = Peer(f"away-{transport}", clean=False)
result["present"] = away.present
result["missed"] = [text for _topic, text, _qos, _retain in away.take(201)]
away.end()

twin = Peer(f"twin-{transport}")
Peer(f"twin-{transport}").end()
result["takeover"] = twin.disconnects.get(timeout=wait_s) != ""
twin.client.loop_stop()

log = Peer(f"log-{transport}")
log.subscribe(f"sync@earliest/{root}/kept", qos=1)
messages = [json.loads(text) for _topic, text, _qos, _retain in log.take(2)]
result["envelopes"] = [message.get("text") or message.get("ctl") for message in messages]
log.end()
reader.end()
print(json.dumps(result))
