"""Durations that depend on each other, all in seconds: when you change one, check those that it bounds.

A process may put tiles of a superseded revision while its metadata is cached and a put is under way. That bound is
the fence (`fence_seconds`): this long after a new revision is published, no tile of the old one can arrive. The wait
for a job must be longer than the queue's delay before a failed message returns.
"""

from __future__ import annotations

# Caching of metadata, and retries
LAYER_TTL_SECONDS = 5.0  # the HTTP function caches a layer's metadata
REVISION_CHECK_SECONDS = 5.0  # between checks of the current revision while a block is filled
STORE_REQUEST_SECONDS = 30  # timeout of one request to a store
HTTP_RETRY_SECONDS = 5.0  # the HTTP function retries a request to a store; a browser is waiting
HTTP_ANSWER_SECONDS = 29.0  # limit of an answer of the HTTP function: API Gateway times out after 30
WORKER_RETRY_SECONDS = 40.0  # a worker retries a request to a store before the message returns to the queue

# Caching by browsers and CloudFront
TILE_CACHE_SECONDS = 3600  # of a tile, and of a 404 below an address with its revision, which never gets that tile
MISSING_CACHE_SECONDS = 60  # of any other 404 or 400; with the cached metadata it ends before the fence on S3

# Removal of what revisions share
BAKE_SECONDS = 2 * 86400.0  # the longest bake, whose parts no manifest names yet

# Baking by workers
BAKE_MARGIN_SECONDS = 60.0  # left of an invocation to write and store a part of 0.5 GB
BAKE_POLL_SECONDS = 30.0  # between two looks at the jobs that follow a publication; it grows
BAKE_LONGEST_POLL_SECONDS = 900.0  # the longest delay of SQS

# Timeouts of the upload of a large file, which a line of 1 Mbit/s meets
UPLOAD_CONNECT_SECONDS = 60.0  # to connect, or to send more bytes: a third of 4 buffers of 4 MB takes 43
UPLOAD_SILENCE_SECONDS = 300.0  # until the answer to a part: 4 buffers of 4 MB take 134

# Precision of timestamps, and puts into a folder
FOLDER_PUT_SECONDS = 10.0  # limit of a put into a folder, which is never retried
LEFTOVER_SECONDS = 60.0  # age at which a half-written file in a folder counts as abandoned
S3_ROUNDING_SECONDS = 1.0  # S3 truncates an object's time to this

# Silence after which a job counts as stuck
RETRY_DELAYS_SECONDS = (15, 60, 240, 900)  # before a failed message returns; after the last it is a dead letter
STUCK_SECONDS = 120.0  # without a receipt while the queue is empty, or with no queue; SQS counts lag up to a minute
STUCK_BUSY_SECONDS = 1200.0  # without a receipt while the queue holds messages
POLL_SECONDS = 2.0  # between two polls of a job


def fence_seconds(*, folder: bool) -> float:
    """Seconds after a publication in which tiles of the previous revision may still be put, into a folder or S3."""
    if folder:
        return LAYER_TTL_SECONDS + FOLDER_PUT_SECONDS
    worker = REVISION_CHECK_SECONDS + WORKER_RETRY_SECONDS + STORE_REQUEST_SECONDS
    return LAYER_TTL_SECONDS + max(HTTP_ANSWER_SECONDS, worker)
