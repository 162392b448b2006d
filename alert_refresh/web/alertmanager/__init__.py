"""What is delivered to Alertmanager, over HTTP."""
