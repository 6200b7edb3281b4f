"""Numba kernels: plain arrays in, plain arrays out; nothing here imports from the rest of us.

All kernels have explicit signatures, `nogil=True` and `cache=True`: they are compiled, or
loaded from the cache (cache.py), when their module is imported, never inside the first query.
"""

from index.kernels.cache import install

install()
