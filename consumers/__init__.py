"""From outside: sources of records (Kafka, the embedded log) and the logs that writes go into.

The only package that names a broker.
"""
