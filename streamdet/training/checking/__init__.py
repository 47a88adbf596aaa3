"""Looking at labelled pictures before any training: faults, near-copies, anchor coverage, splits by clip."""
