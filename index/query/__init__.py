"""Queries: from a request to a program that kernels run."""
