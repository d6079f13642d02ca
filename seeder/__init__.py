"""Plan, fan out and follow the warming of a layer's tiles."""

INTERRUPTED = 130  # the exit code of a program that Ctrl-C ended
