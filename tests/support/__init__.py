"""Shared by tests: factories, oracles, servers, strategies."""
