"""Tells a webhook when a kind keeps failing or has removals held, and when that is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alert_refresh.observe.notify.settings import NotifySettings, describe, read

if TYPE_CHECKING:
    from alert_refresh.config import Config
    from alert_refresh.engine import Clock
    from alert_refresh.observe.notify.notifier import Notifier

__all__ = ["NotifySettings", "build", "describe", "read"]


def build(config: Config, clock: Clock) -> Notifier | None:
    """The notifier that the settings ask for, not started; None if they ask for none.

    What speaks HTTP is imported only then.
    """
    if config.notify is None:
        return None
    from alert_refresh.observe.notify.notifier import Notifier

    return Notifier(config.notify, clock, port=config.port)
