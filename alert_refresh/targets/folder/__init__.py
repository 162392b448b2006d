"""Targets from a folder of Secret manifests and mounted Secrets."""
