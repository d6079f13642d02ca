"""The whole product over real wires; `scripts/e2e` runs it."""
