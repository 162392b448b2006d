"""Rules: which rules apply, from a warm-storage file into a hot cache in memory."""
