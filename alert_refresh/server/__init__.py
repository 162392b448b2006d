"""gunicorn's side of the program: sockets, signals, deadlines, the HTTP parser. Knows no kind."""
