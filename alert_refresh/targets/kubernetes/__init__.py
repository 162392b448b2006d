"""Targets from the Secrets of a Kubernetes cluster: listed by each refresh, watched in between."""
