"""What a job is, costs and has come to: its plan, messages, ledger, status and failures."""
