"""Plan, fan out and follow the warming of a layer's tiles."""
