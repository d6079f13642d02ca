"""Workers: the pool of this machine, the SQS queue, the worker Lambda, and the follower of jobs."""
