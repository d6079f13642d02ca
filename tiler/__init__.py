"""Make and store tiles; no knowledge of jobs."""
