"""What every stage stands on: errors, files, locks, progress, signals, randomness, processes."""
