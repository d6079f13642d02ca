"""The stored tiles: asked for, verified, invalidated, re-rendered, purged, in S3 and in CloudFront."""
