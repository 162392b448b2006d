"""The mass-removal guard."""
