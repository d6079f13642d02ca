"""Clients of AWS services, and the outputs of a deployed stack."""
