"""The rows that stand in a topic, with a Kafka client that has nothing in common with librdkafka."""

import time

from kafka import KafkaConsumer, TopicPartition


def standing(brokers, topic):
    """The last value of each key that has one, as bytes."""
    consumer = KafkaConsumer(
        bootstrap_servers=brokers.split(","),
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    ends = consumer.end_offsets(partitions)
    rows, begun = {}, time.monotonic()
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        assert time.monotonic() - begun < 60, "the topic has no end"
        for records in consumer.poll(timeout_ms=200).values():
            for record in records:
                headers = dict(record.headers)
                assert int(headers["epoch"]) > 0 and headers["status"] in (b"provisional", b"final")
                if record.value is None:
                    del rows[record.key]
                else:
                    rows[record.key] = record.value
    consumer.close()
    return rows
