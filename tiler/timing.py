"""Times that rest on each other, all in seconds: change one and look at those that it bounds.

A revision that was superseded may put tiles for as long as somebody believes in it, and a put may take. That bound is
the fence (`fence_seconds`): after a new revision was published, no tile of the old one can arrive later. Whoever waits
for a job gives up later than its queue brings back a message that failed.
"""

from __future__ import annotations

# How long metadata is believed, and a request tried
LAYER_TTL_SECONDS = 5.0  # that an instance of the HTTP function believes a layer's metadata
REVISION_CHECK_SECONDS = 5.0  # that a layer is believed to be the current revision while a block is filled
STORE_REQUEST_SECONDS = 30  # that one request to a store may take
HTTP_RETRY_SECONDS = 5.0  # that the HTTP function tries a request to a store again; a browser waits
HTTP_ANSWER_SECONDS = 29.0  # that an answer of the HTTP function may take: API Gateway gives up after 30
WORKER_RETRY_SECONDS = 40.0  # that a worker tries a request to a store again before the message goes back to the queue

# How exact times are, and puts into a folder
FOLDER_PUT_SECONDS = 10.0  # that a tile may be on its way into a folder, where no put is tried again
LEFTOVER_SECONDS = 60.0  # after which what a put left half done in a folder is nobody's
S3_ROUNDING_SECONDS = 1.0  # that S3 leaves out of the time of an object

# How long nothing may be heard of a job until it is stuck
RETRY_DELAYS_SECONDS = (15, 60, 240, 900)  # before a message that failed comes again; then it is a dead letter
STUCK_SECONDS = 120.0  # without a receipt while its queue is empty, or it has none; SQS counts up to a minute late
STUCK_BUSY_SECONDS = 1200.0  # without a receipt while its queue holds messages
POLL_SECONDS = 2.0  # between two looks at a job


def fence_seconds(*, folder: bool) -> float:
    """How long after another revision was published a tile of the one before may still be put, into a folder or S3."""
    if folder:
        return LAYER_TTL_SECONDS + FOLDER_PUT_SECONDS
    worker = REVISION_CHECK_SECONDS + WORKER_RETRY_SECONDS + STORE_REQUEST_SECONDS
    return LAYER_TTL_SECONDS + max(HTTP_ANSWER_SECONDS, worker)
