# SPDX-License-Identifier: MIT
"""kafka.py TOPIC: a Kafka broker for tests, and a consumer that prints what it is sent.

librdkafka brings the broker, which speaks the real protocol and keeps everything in memory.
Prints "broker ADDRESS:PORT", then one JSON object for each message: key and value.
"""

import ctypes
import json
import sys

rdkafka = ctypes.CDLL("librdkafka.so.1")
PRODUCER, CONSUMER = 0, 1
OFFSET_BEGINNING = -2
P, S, I32 = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32


class Message(ctypes.Structure):
    _fields_ = [("err", ctypes.c_int), ("topic", P), ("partition", I32), ("value", P),
                ("value_len", ctypes.c_size_t), ("key", P), ("key_len", ctypes.c_size_t),
                ("offset", ctypes.c_int64), ("private", P)]


def function(name, result, *arguments):
    f = getattr(rdkafka, f"rd_kafka_{name}")
    f.restype, f.argtypes = result, arguments
    return f


conf_new = function("conf_new", P)
conf_set = function("conf_set", ctypes.c_int, P, S, S, P, ctypes.c_size_t)
new = function("new", P, ctypes.c_int, P, S, ctypes.c_size_t)
mock_cluster = function("handle_mock_cluster", P, P)
mock_bootstraps = function("mock_cluster_bootstraps", S, P)
mock_topic = function("mock_topic_create", ctypes.c_int, P, S, ctypes.c_int, ctypes.c_int)
topic_new = function("topic_new", P, P, S, P)
consume_start = function("consume_start", ctypes.c_int, P, I32, ctypes.c_int64)
consume = function("consume", ctypes.POINTER(Message), P, I32, ctypes.c_int)
destroy = function("message_destroy", None, ctypes.POINTER(Message))


def client(kind, **properties):
    conf, why = conf_new(), ctypes.create_string_buffer(256)
    for key, value in properties.items():
        if conf_set(conf, key.replace("_", ".").encode(), value.encode(), why, len(why)):
            sys.exit(f"{key}: {why.value.decode()}")
    return new(kind, conf, why, len(why)) or sys.exit(why.value.decode())


def main():
    topic = sys.argv[1].encode()
    cluster = mock_cluster(client(PRODUCER, test_mock_num_brokers="1"))
    broker = mock_bootstraps(cluster).decode()
    if mock_topic(cluster, topic, 1, 1):
        sys.exit(f"the topic {sys.argv[1]} cannot be created")
    consumer = topic_new(client(CONSUMER, bootstrap_servers=broker), topic, None)
    if consume_start(consumer, 0, OFFSET_BEGINNING):
        sys.exit("the consumer cannot be started")
    print(f"broker {broker}", flush=True)
    while True:
        m = consume(consumer, 0, 1000)
        if not m:
            continue
        if not m.contents.err:
            key = ctypes.string_at(m.contents.key, m.contents.key_len) if m.contents.key else b""
            value = ctypes.string_at(m.contents.value, m.contents.value_len)
            print(json.dumps({"key": key.decode(errors="replace"),
                              "value": value.decode(errors="replace")}), flush=True)
        destroy(m)


main()
