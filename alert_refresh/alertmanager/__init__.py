"""The kind `alertmanager`: what is fresh becomes what Alertmanager delivers."""
