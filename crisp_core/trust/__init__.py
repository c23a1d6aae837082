"""What proves who spoke and what happened: keys, signatures, certificates, tokens and ledgers."""
