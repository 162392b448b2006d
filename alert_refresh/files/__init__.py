"""Reading regular files with limits, watching them for changes, and writing them atomically."""
