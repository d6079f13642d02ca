"""Clients of AWS and what a deployed stack says of itself."""
