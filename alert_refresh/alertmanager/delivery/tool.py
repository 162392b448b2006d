"""What `amtool` says of a configuration, as far as it can be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alert_refresh.alertmanager.delivery.culprits import Split, apart, halve
from alert_refresh.alertmanager.delivery.suspects import Alone, bare, with_only
from alert_refresh.alertmanager.running.amtool import NoVerdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from alert_refresh.alertmanager.delivery.round import Round
    from alert_refresh.alertmanager.running.amtool import Amtool
    from alert_refresh.engine import Deadline


class Tool:
    """The tool in the PATH, if there is one."""

    def __init__(self, amtool: Amtool) -> None:
        self._amtool = amtool

    def fits(self, work: Round, deadline: Deadline) -> bool:
        """Whether there is a tool, and of the version that runs, as far as that is known: others know other fields."""
        versions = {version for version in work.versions if version is not None}
        return self._amtool.path is not None and versions <= {self._amtool.version(deadline)}

    def refuses(self, work: Round, deadline: Deadline) -> bool:
        """Whether it refuses the rendering; not if it refuses what Alertmanager loads, too: it may lack a file.

        Raises:
            Transient, Permanent: see `Amtool.refuses`. Without a verdict nothing is refused where Alertmanager answers.
        """
        try:
            if not self.fits(work, deadline) or not self._amtool.refuses(work.rendering.text, deadline):
                return False
            return work.good is None or not work.proven or not self._amtool.refuses(work.good, deadline)
        except NoVerdict:
            if not work.answering:
                raise
            return False

    def split(self, work: Round, parts: Sequence[str], deadline: Deadline) -> Split:
        """Find the culprits among these parts: many by themselves in one call, then those that are none by themselves.

        Raises:
            Transient, Permanent: see `Amtool.refuses`, before anything is found.
        """
        alone = Alone(work)

        def refused(pieces: Sequence[Sequence[str]]) -> Iterator[bool]:
            return self._amtool.refused(map(alone.with_parts, pieces), deadline)

        def passes(accepted: Collection[str]) -> bool:
            return not self._amtool.refuses(with_only(work, parts, accepted), deadline)

        if self._amtool.refuses(bare(work), deadline):
            split = Split(parts)
            split.nothing_passes = True
            return split
        split = apart(parts, refused)
        return split if split.culprits or split.error is not None else halve(parts, passes)
