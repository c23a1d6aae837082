"""What proves what happened: the hash-chained ledger."""
