"""The claims that this project makes, each with a check that can fail."""
