"""Searches for violations of what docs/resiliency.md promises: `make rel-fast`, `make rel-deep`."""
