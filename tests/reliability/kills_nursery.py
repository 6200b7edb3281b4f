"""What the fork server loads once, so that the servers that it forks need not."""

from tailrace.warm import warm_kernels

warm_kernels()
