"""Cron expressions: `Cron` says when one is due, in Unix seconds; nothing here reads a clock."""

from alert_refresh.engine.cron.expression import Cron, zone_of
from alert_refresh.engine.cron.fields import CronError

__all__ = ["Cron", "CronError", "zone_of"]
