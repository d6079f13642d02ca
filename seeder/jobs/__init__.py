"""Jobs: plan, estimate, messages, ledger, status and failures."""
