"""Storage of a run: the folder with its manifest, records, claims, failures and judgements."""
