"""Stored tiles, in S3 and in CloudFront: query, verify, invalidate, re-render, delete."""
