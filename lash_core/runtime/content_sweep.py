"""Mark and sweep of content-addressed bytes (``docs/contracts/attachments.md`` 6, docs/adr/0150).

A pass collects what was put long ago, walks over everything that names content, and deletes what it did not meet. It
goes on in steps, so that a housekeeping loop can spread one pass over many rounds. Nothing is locked: several passes
side by side, in one program or in many, only do the work more than once.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lash_core.errors import LashError
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.runtime.attachment_roots import OwnerRows
from lash_core.store.content_sweep import GRACE_MS, ContentRoots, StoredContent, SweptContent

CANDIDATES_MAX = 50_000
"""Addresses of one store that one pass decides about: about 15 MB. The next pass goes on behind the last of them."""

CANDIDATES_PAGE = 5_000
HOLDERS_A_STEP = 500
"""Rows or sessions of one step: some milliseconds."""

DELETIONS_A_STEP = 200

WALK_MS_MAX = 12 * 3_600_000
"""A walk older than this is thrown away: it must be younger than what it has not seen (docs/adr/0151)."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SweepFailure:
    """Bytes that could not be deleted, and why; the sweep went on."""

    ref: str
    error: Exception


@dataclass(slots=True)
class SweepReport:
    """What one pass did. ``kept``: old and named; ``put_meanwhile``: put again after they were listed, or gone."""

    candidates: int = 0
    kept: int = 0
    deleted: int = 0
    put_meanwhile: int = 0
    failures: list[SweepFailure] = field(default_factory=list[SweepFailure])


class ContentSweep:
    """One pass after the other over some stores.

    Args:
        contents: what is swept.
        roots: everything that names content of these stores. A root that is missing here loses data.
        now_ms: the store's clock.
        grace_ms: bytes put within this time stay.
        never: addresses that stay whatever happens.
    """

    def __init__(
        self,
        contents: Sequence[SweptContent],
        roots: Sequence[ContentRoots],
        now_ms: Callable[[], Awaitable[int]],
        *,
        grace_ms: int = GRACE_MS,
        never: frozenset[str] = frozenset(),
    ) -> None:
        self._contents = tuple(contents)
        self._roots = tuple(roots)
        self._now_ms = now_ms
        self._grace_ms = grace_ms
        self._never = never
        self._behind: list[str | None] = [None] * len(self._contents)
        self._walk: _Walk | None = None

    @property
    def is_walking(self) -> bool:
        """True in the middle of a pass."""
        return self._walk is not None

    @property
    def has_more(self) -> bool:
        """True when the last pass did not come to the end of every store: the next one goes on there."""
        return any(cursor is not None for cursor in self._behind)

    async def step(self) -> SweepReport | None:
        """Do the next piece of the pass, at most some thousand addresses; the report when it was the last one.

        A store failure leaves the pass where it was: the next step tries the same piece again.

        Raises:
            LashError: a store could not be asked.
        """
        if self._walk is None:
            self._walk = await self._begin()
        walk = self._walk
        if not walk.candidates or walk.root == len(self._roots):
            return await self._delete(walk)
        page = await self._roots[walk.root].refs_page(walk.cursor, HOLDERS_A_STEP, grace_ms=self._grace_ms)
        for ref in page.refs:
            if walk.candidates.pop(ref, None) is not None:
                walk.report.kept += 1
        walk.cursor = page.next_cursor
        if page.next_cursor is None:
            walk.root += 1
        return None

    async def run_pass(self) -> SweepReport:
        """One whole pass, from wherever the last step left. Raises: LashError."""
        while True:
            report = await self.step()
            if report is not None:
                return report

    async def _begin(self) -> _Walk:
        # The clock first: whatever is put or named from now on is younger than the walk.
        walk = _Walk(await self._now_ms())
        for place, content in enumerate(self._contents):
            found = 0
            cursor = self._behind[place]
            while found < CANDIDATES_MAX:
                page = await content.list_stored(cursor, CANDIDATES_PAGE, min_age_ms=self._grace_ms)
                for stored in page.items:
                    if stored.ref not in self._never:
                        walk.candidates[stored.ref] = (content, stored)
                        found += 1
                cursor = page.next_cursor
                if cursor is None:
                    break
            walk.behind.append(cursor)
        walk.report.candidates = len(walk.candidates)
        return walk

    async def _delete(self, walk: _Walk) -> SweepReport | None:
        """Delete some of what the walk did not meet; the report once nothing is left."""
        report = walk.report
        if walk.candidates and await self._now_ms() - walk.started_at_ms > WALK_MS_MAX:
            _log.warning("a sweep of stored content took over %d h and starts again", WALK_MS_MAX // 3_600_000)
            self._walk = None
            return report
        for ref in list(walk.candidates)[:DELETIONS_A_STEP]:
            content, stored = walk.candidates.pop(ref)
            try:
                if await content.delete_unchanged(stored):
                    report.deleted += 1
                else:
                    report.put_meanwhile += 1
            except (LashError, OSError) as error:
                _log.warning("%s could not be deleted: %s", ref, error)
                report.failures.append(SweepFailure(ref, error))
        if walk.candidates:
            return None
        self._behind = walk.behind
        self._walk = None
        return report


class SweptStores(Protocol):
    """The stores of one server as their sweep sees them; ``RedisStores`` and ``InMemoryStores`` both are."""

    @property
    def swept_contents(self) -> Sequence[SweptContent]:
        """What is swept."""
        ...

    @property
    def content_roots(self) -> Sequence[ContentRoots]:
        """Everything that names it."""
        ...

    @property
    def process_registry(self) -> OwnerRows:
        """Tells the store's time."""
        ...


def content_sweep_of(stores: SweptStores, *, grace_ms: int = GRACE_MS) -> ContentSweep:
    """The sweep of one server's environments, artifacts and attachments; the empty environment always stays."""
    return ContentSweep(
        stores.swept_contents,
        stores.content_roots,
        stores.process_registry.server_time_ms,
        grace_ms=grace_ms,
        never=frozenset({EMPTY_ENV_REF}),
    )


class _Walk:
    """Where a pass is."""

    def __init__(self, started_at_ms: int) -> None:
        self.started_at_ms = started_at_ms
        self.candidates: dict[str, tuple[SweptContent, StoredContent]] = {}
        self.behind: list[str | None] = []
        self.root = 0
        self.cursor: str | None = None
        self.report = SweepReport()


async def reclaim_unreferenced_attachments(
    roots: ContentRoots, backend: SweptContent, grace_ms: int, *, now_ms: Callable[[], Awaitable[int]]
) -> SweepReport:
    """Delete every attachment of ``backend`` that ``roots`` do not keep and that nobody put for ``grace_ms``.

    Freshness is looked at again for each one where it is deleted: who puts it meanwhile keeps it, and who puts it
    afterwards stores it again. Failures are in the report, and the others are deleted. Several at once do no harm.

    Args:
        roots: what references keep (``AttachmentRoots``).
        backend: where the bytes are.
        grace_ms: at least 0.
        now_ms: the store's clock.

    Raises:
        LashError: the roots or the listing could not be read; nothing was deleted that they had not shown.
    """
    sweep = ContentSweep([backend], [roots], now_ms, grace_ms=grace_ms)
    total = await sweep.run_pass()
    while sweep.has_more:
        more = await sweep.run_pass()
        total.candidates += more.candidates
        total.kept += more.kept
        total.deleted += more.deleted
        total.put_meanwhile += more.put_meanwhile
        total.failures += more.failures
    return total
