"""What tests share: fixtures, oracles, servers."""
