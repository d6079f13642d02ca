"""Real clients before the local server and before the deployed path: `scripts/clients` runs them."""
