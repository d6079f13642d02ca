"""Defaults that commands and the Python API share. The help of commands shows them, so this imports nothing heavy."""

from __future__ import annotations

import os

CORES = os.cpu_count() or 1  # of this machine: the number of worker processes
CONCURRENCY = 32  # concurrent workers of a stack, for an estimate
BAKE_PROCESSES = 2  # of the bake function, for the two CPUs that its memory comes with
MAX_FAILED_SHARE = 0.01  # of a job's recent blocks; more stop the job
DEEP_SAMPLE = 500  # tiles compared by a deep verification
