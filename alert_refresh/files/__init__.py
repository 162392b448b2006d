"""Reading regular files under limits, noticing that they change, writing them atomically."""
