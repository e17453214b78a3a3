"""Reads topics in Avro with Confluent's own reader, and checks that they have the rows that the topics
in JSON have.

Usage: read_avro.py BROKERS REGISTRY PREFIX VIEW…. Rows of a view are in PREFIX.VIEW as JSON, in
PREFIX.avro.VIEW as Avro. Prints each view with how many rows it has.
"""

import base64
import datetime
import json
import sys

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from standing import standing


def plain(value):
    """A value of Avro as JSON has it."""
    if isinstance(value, datetime.datetime):
        assert value.utcoffset() == datetime.timedelta(0), "a moment is in UTC"
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return value


def main():
    brokers, url, prefix, *views = sys.argv[1:]
    host = url.split("@")
    credentials = host[0].removeprefix("http://")
    registry = SchemaRegistryClient(
        {"url": "http://" + host[1], "basic.auth.user.info": credentials}
    )
    reader = AvroDeserializer(registry)
    for view in views:
        topic = f"{prefix}.avro.{view}"
        rows = {}
        for key, value in standing(brokers, topic).items():
            key = reader(key, SerializationContext(topic, MessageField.KEY))
            row = reader(value, SerializationContext(topic, MessageField.VALUE))
            rows[json.dumps(plain(key))] = plain(row)
        expected = standing(brokers, f"{prefix}.{view}").items()
        expected = {json.dumps(json.loads(key)): json.loads(row) for key, row in expected}
        if rows != expected:
            other = [key for key in rows.keys() | expected if rows.get(key) != expected.get(key)]
            sys.exit(f"{view}: {other[0]}: {rows.get(other[0])}, not {expected.get(other[0])}")
        print(view, len(rows))


main()
