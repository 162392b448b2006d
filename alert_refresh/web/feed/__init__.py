"""The change feed over HTTP: conditional requests, blocking queries, the stream of events, the last refreshes."""
