"""The status page: its files, the causes of failures in plain words, the runbooks as HTML."""
