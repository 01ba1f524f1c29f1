"""What every Redis store needs: connection, scripts, keys, settings."""

from __future__ import annotations

from dataclasses import dataclass, field

from lash_core.redis_store.connection import RedisConnection
from lash_core.redis_store.death_proofs import DeathProofs
from lash_core.redis_store.due_times import DueTimes
from lash_core.redis_store.fenced_writes import FencedWrites
from lash_core.redis_store.keys import Keyspace
from lash_core.redis_store.scripts import Scripts
from lash_core.redis_store.server_checks import ServerReport
from lash_core.redis_store.turn_writes import TurnWrites
from lash_core.settings import StoreSettings
from lash_core.store.promise_store import SigningSecrets


@dataclass(frozen=True, slots=True)
class RedisContext:
    """One namespace of one deployment.

    Attributes:
        clock_offset: the test loader's clock is in use.
        signing: secrets of await-event keys; None where this client's role may not read them.
        writes: what this client knows of its leases; shared, for all writes of one lease go one at a time.
        turn_writes: what it saw accepted of the turns that it runs; shared by the stores of one session.
        session_due: when sessions become due, as last learned; shared by notices and claims.
        proofs: what it can prove about owners of leases; shared, so that it is given once.
    """

    connection: RedisConnection
    scripts: Scripts
    keyspace: Keyspace
    settings: StoreSettings
    clock_offset: bool = False
    signing: SigningSecrets | None = None
    writes: FencedWrites = field(default_factory=FencedWrites)
    turn_writes: TurnWrites = field(default_factory=TurnWrites)
    proofs: DeathProofs = field(default_factory=DeathProofs)
    session_due: DueTimes = field(default_factory=DueTimes)

    @property
    def report(self) -> ServerReport:
        """What the server said of itself at the last connect, with warnings for people."""
        return self.connection.report
