"""The Alertmanagers that run, and their command line tool: asked, told to reload, and never believed unchecked."""
