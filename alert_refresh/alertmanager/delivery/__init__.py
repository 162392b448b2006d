"""One configuration, written, loaded by every Alertmanager and verified; what one refuses is found and left out."""
