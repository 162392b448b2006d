"""The HTTP server around gunicorn: sockets, signals, deadlines, the parser. Independent of the kinds."""
