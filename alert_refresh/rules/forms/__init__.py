"""The formats of a file of rules: warm, YAML, JSON, JSON lines; each parsed into plain data with line numbers."""
