"""What `bench/against.py` runs: sources, tools, timing, quality and tables."""
