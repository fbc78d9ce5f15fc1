"""What a run shows and measures: spans, observers, meters, samples, progress."""
