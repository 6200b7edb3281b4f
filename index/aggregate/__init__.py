"""Aggregations over the documents that a search matches: counts and sums by buckets of values."""
