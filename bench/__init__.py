"""What performance claims rest on: `python -m bench`."""
