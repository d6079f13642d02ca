"""Who renders blocks: the queue, the pool of this machine, the Lambda, and who follows them."""
