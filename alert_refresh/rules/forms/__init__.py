"""The forms a file of rules may have: warm, YAML, JSON, JSON lines; each read into plain data with its places."""
