"""Every key of lash. No other module builds one (``docs/contracts/redis_layout.md``).

A partition is a hash tag ``{<ns>:<salt>}``. Variable text is always the last part of a key and at most one per key, so
no id can name another id's key.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from functools import lru_cache

from redis.crc import key_slot

from lash_core.errors import InvalidArgumentError
from lash_core.model.canonical_json import canonical_json_bytes
from lash_core.model.execution_scope import ExecutionScope

SLOTS = 16_384
PARTITIONS_DEFAULT = 64
PARTITION_COUNTS = (1, 4, 16, 64, 256)


@lru_cache(maxsize=64)
def spread_salts(namespace: str, partitions: int) -> tuple[str, ...]:
    """Salts whose tags fall one into each equal share of the slots, so that partitions spread evenly over nodes."""
    share = SLOTS // partitions
    return tuple(_salt_for(namespace, index, index * share, share) for index in range(partitions))


def _salt_for(namespace: str, index: int, first_slot: int, share: int) -> str:
    attempt = 0
    while True:
        salt = f"{index}" if attempt == 0 else f"{index}x{attempt:x}"
        if first_slot <= key_slot(f"{{{namespace}:{salt}}}".encode()) < first_slot + share:
            return salt
        attempt += 1


@dataclass(frozen=True, slots=True)
class PartitionKeys:
    """The keys of one partition. Fixed ones are attributes, those of a process or session are methods."""

    index: int
    tag: str
    leases: str
    owners: str
    marks: str
    receipts: str
    changes: str
    notices: str
    outbox: str
    identities: str
    meta: str
    scopes: str
    sessions: str
    session_leases: str
    session_expiries: str
    sessions_ready: str
    session_deaths: str
    live_tails: str
    live_idle: str
    clock_offset: str

    @classmethod
    def of(cls, namespace: str, index: int, salt: str) -> PartitionKeys:
        """The keys of the partition with this salt."""
        tag = f"{{{namespace}:{salt}}}"
        return cls(
            index=index,
            tag=tag,
            leases=f"{tag}:lse",
            owners=f"{tag}:own",
            marks=f"{tag}:ctl",
            receipts=f"{tag}:rc",
            changes=f"{tag}:chg",
            notices=f"{tag}:n",
            outbox=f"{tag}:out",
            identities=f"{tag}:ow",
            meta=f"{tag}:meta",
            scopes=f"{tag}:jx",
            sessions=f"{tag}:ses",
            session_leases=f"{tag}:slo",
            session_expiries=f"{tag}:sle",
            sessions_ready=f"{tag}:srd",
            session_deaths=f"{tag}:sld",
            live_tails=f"{tag}:lrt",
            live_idle=f"{tag}:lrx",
            clock_offset=f"{tag}:off",
        )

    def ready(self, queue: str) -> str:
        """Zset pid → due ms of a queue; ``+inf`` = nothing to do until something happens."""
        return f"{self.tag}:rdy:{queue}"

    def registration(self, process_id: str) -> str:
        """String: the immutable registration."""
        return f"{self.tag}:p:{process_id}"

    def control(self, process_id: str) -> str:
        """Hash: status and counters."""
        return f"{self.tag}:c:{process_id}"

    def events(self, process_id: str) -> str:
        """List: the event log; index = sequence - 1."""
        return f"{self.tag}:e:{process_id}"

    def journal(self, process_id: str) -> str:
        """Hash: the effect journal of a process."""
        return f"{self.tag}:j:{process_id}"

    def handovers(self, process_id: str) -> str:
        """Hash: segment handovers, two kept."""
        return f"{self.tag}:h:{process_id}"

    def wake_acks(self, process_id: str) -> str:
        """Hash: acknowledged wakes."""
        return f"{self.tag}:wk:{process_id}"

    def grant_scopes(self, process_id: str) -> str:
        """Hash scope id → grant JSON, in the partition of the process: the truth; the session side follows it."""
        return f"{self.tag}:g:{process_id}"

    def promises(self, process_id: str) -> str:
        """Hash: await-event promises of this process's scope."""
        return f"{self.tag}:w:{process_id}"

    def audit(self, process_id: str) -> str:
        """List: the newest audit entries."""
        return f"{self.tag}:a:{process_id}"

    def blobs(self, process_id: str) -> str:
        """Hash: outcomes over 16 KB."""
        return f"{self.tag}:b:{process_id}"

    def scope_journal(self, scope_hash: str) -> str:
        """Hash: the effect journal of a scope without a lease."""
        return f"{self.tag}:jo:{scope_hash}"

    def scope_promises(self, scope_hash: str) -> str:
        """Hash: await-event promises of a scope that has neither a process nor a session. Also its channel."""
        return f"{self.tag}:wo:{scope_hash}"

    def session_promises(self, session_id: str) -> str:
        """Hash: await-event promises of a session's scopes, in the session's partition. Also their channel."""
        return f"{self.tag}:sw:{session_id}"

    def session_grants(self, session_id: str) -> str:
        r"""Hash ``<scope>\n<pid>`` → grant JSON, in the session's partition."""
        return f"{self.tag}:sg:{session_id}"

    def session_wakes(self, session_id: str) -> str:
        """Hash pid → registration hash of the rows that wake the session, in the session's partition."""
        return f"{self.tag}:sk:{session_id}"

    def session_head(self, session_id: str) -> str:
        """Hash: meta, head, leaf, config, frames, checkpoint, counters, open turn; with ``meta`` the session exists."""
        return f"{self.tag}:sh:{session_id}"

    def session_nodes(self, session_id: str) -> str:
        r"""Hash node → ``<parent>\n<JSON>``."""
        return f"{self.tag}:sn:{session_id}"

    def session_node_order(self, session_id: str) -> str:
        """Zset node → append index."""
        return f"{self.tag}:so:{session_id}"

    def session_tombstones(self, session_id: str) -> str:
        """Set of hidden nodes."""
        return f"{self.tag}:st:{session_id}"

    def session_usage(self, session_id: str) -> str:
        """Hash: tokens by counter, source and model."""
        return f"{self.tag}:su:{session_id}"

    def session_blobs(self, session_id: str) -> str:
        """Hash digest → blob, or ``@`` = in the content store."""
        return f"{self.tag}:sb:{session_id}"

    def session_stamps(self, session_id: str) -> str:
        """Hash turn → stamp JSON."""
        return f"{self.tag}:ss:{session_id}"

    def session_stamp_order(self, session_id: str) -> str:
        """List of turns with a stamp, oldest first."""
        return f"{self.tag}:sz:{session_id}"

    def session_queue(self, session_id: str) -> str:
        """Hash batch → row of queued work."""
        return f"{self.tag}:sq:{session_id}"

    def session_queue_order(self, session_id: str) -> str:
        """Zset batch → enqueue sequence."""
        return f"{self.tag}:sqo:{session_id}"

    def session_queue_due(self, session_id: str) -> str:
        """Zset ``q<batch>`` or ``i<input>`` → due ms: what may make the session ready for the fleet."""
        return f"{self.tag}:sqd:{session_id}"

    def session_source_keys(self, session_id: str) -> str:
        """Hash source key → its first batch, kept after the batch was settled."""
        return f"{self.tag}:sr:{session_id}"

    def session_settled_sources(self, session_id: str) -> str:
        """Zset source key → when its batch was settled."""
        return f"{self.tag}:srz:{session_id}"

    def session_inputs(self, session_id: str) -> str:
        """Hash input → row of the lane of pending turn inputs."""
        return f"{self.tag}:si:{session_id}"

    def session_input_order(self, session_id: str) -> str:
        """Zset input → enqueue sequence."""
        return f"{self.tag}:sio:{session_id}"

    def session_channel(self, session_id: str) -> str:
        """Sharded channel of a session: commits and changes of its queue."""
        return f"{self.tag}:sc:{session_id}"

    def live_ring(self, session_id: str) -> str:
        """Stream ``<position>-0`` → the newest events of a session."""
        return f"{self.tag}:lr:{session_id}"

    def live_channel(self, session_id: str) -> str:
        """Sharded channel of a session: its events as they come."""
        return f"{self.tag}:lc:{session_id}"

    def session_tasks(self, session_id: str) -> str:
        r"""Hash ``<scope key>\n<task id>`` → row of a background task."""
        return f"{self.tag}:bt:{session_id}"

    def session_attachments(self, session_id: str) -> str:
        """Hash digest → reference of an attachment, and ``last`` → the last turn that committed."""
        return f"{self.tag}:at:{session_id}"

    def owner_channel(self, owner_digest: str) -> str:
        """Sharded channel on which a lease holder hears of cancels and signals."""
        return f"{self.tag}:to:{owner_digest}"

    def done_channel(self, process_id: str) -> str:
        """Sharded channel on which waiters hear of terminal and awaited events."""
        return f"{self.tag}:done:{process_id}"


class Keyspace:
    """The keys of one namespace with a known layout.

    Args:
        namespace: ``[a-z0-9-]{1,32}``.
        salts: one per partition, from the layout key.
    """

    def __init__(self, namespace: str, salts: tuple[str, ...]) -> None:
        self.namespace = namespace
        self.salts = salts
        self.partitions = tuple(PartitionKeys.of(namespace, index, salt) for index, salt in enumerate(salts))
        self.content_tags = tuple(f"{{{namespace}:env:{number:02x}}}" for number in range(256))
        # One key for all serving processes: a ticket belongs to no session.
        self.login_tickets = f"{self.partitions[0].tag}:tkt"

    def of_process(self, process_id: str) -> PartitionKeys:
        """The partition of a process: by the CRC-32 of its whole id. Raises: InvalidArgumentError: it is no text."""
        return self.partitions[zlib.crc32(_utf8(process_id)) % len(self.partitions)]

    def of_session(self, session_id: str) -> PartitionKeys:
        """The partition of a session; the sessions that a process owns live with it. Raises: as ``of_process``."""
        for prefix in ("process-env:", "process-session-turn:"):
            if session_id.startswith(prefix):
                return self.of_process(session_id[len(prefix) :])
        return self.partitions[zlib.crc32(_utf8(session_id)) % len(self.partitions)]

    def of_scope(self, scope: ExecutionScope) -> PartitionKeys:
        """The partition of a scope: its session's or process's, else by the CRC-32 of its hash."""
        if scope.session_id is not None:
            return self.of_session(scope.session_id)
        if scope.kind == "process":
            return self.of_process(scope.id)
        return self.partitions[zlib.crc32(scope_hash(scope).encode()) % len(self.partitions)]

    def environment(self, digest_hex: str) -> str:
        """String: a content-addressed environment, artifact or small attachment; 256 tags."""
        return f"{{{self.namespace}:env:{digest_hex[:2]}}}:{digest_hex}"

    def content_index(self, tag: str) -> str:
        """Zset ``<family letter>:<digest>`` → µs of the last put: what is stored under one of ``content_tags``."""
        return f"{tag}:idx"

    def content(self, digest_hex: str) -> tuple[str, str]:
        """A blob and the index of its tag."""
        return self.environment(digest_hex), self.content_index(f"{{{self.namespace}:env:{digest_hex[:2]}}}")


def scope_hash(scope: ExecutionScope) -> str:
    """32 hex of SHA-256 over the scope's JSON: its name in keys."""
    return hashlib.sha256(canonical_json_bytes(scope.to_json_value())).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class TriggerKeys:
    """The keys of a namespace's triggers: all in one partition, so that each of their units is one script."""

    subscriptions: str
    sources: str
    owners: str
    due: str
    receipts: str
    receipt_times: str
    occurrences: str
    settled: str
    deliveries: str
    waiting: str
    failures: str
    meta: str
    clock_offset: str

    @classmethod
    def of(cls, namespace: str) -> TriggerKeys:
        """The keys of a namespace (``docs/contracts/redis_layout.md``, Triggers)."""
        tag = f"{{{namespace}:trg}}"
        return cls(
            subscriptions=f"{tag}:sub",
            sources=f"{tag}:src",
            owners=f"{tag}:by",
            due=f"{tag}:due",
            receipts=f"{tag}:rcp",
            receipt_times=f"{tag}:rct",
            occurrences=f"{tag}:occ",
            settled=f"{tag}:set",
            deliveries=f"{tag}:dlv",
            waiting=f"{tag}:res",
            failures=f"{tag}:fail",
            meta=f"{tag}:meta",
            clock_offset=f"{tag}:off",
        )

    @property
    def of_occurrences(self) -> tuple[str, ...]:
        """Those that every script about occurrences has, in its order."""
        return (self.occurrences, self.settled, self.deliveries, self.waiting, self.failures, self.meta)


def layout_key(namespace: str) -> str:
    """Hash: layout, P, salts, versions."""
    return f"{{{namespace}:dir}}:layout"


def workers_key(namespace: str) -> str:
    """Hash: worker id → identity, queues, kinds, metrics address, drain state."""
    return f"{{{namespace}:dir}}:workers"


def worker_beats_key(namespace: str) -> str:
    """Zset: worker id → time of its last beat."""
    return f"{{{namespace}:dir}}:beats"


def kinds_key(namespace: str) -> str:
    """Hash: kind → manifest."""
    return f"{{{namespace}:dir}}:kinds"


def projectors_key(namespace: str) -> str:
    """Hash: projector name → cursor and last seen."""
    return f"{{{namespace}:dir}}:projectors"


def secret_key(namespace: str) -> str:
    """String: ``<current>`` or ``<current>;<previous>`` secret of await-event keys; outside ``{<ns>:*}:*``."""
    return f"sec:{{{namespace}:dir}}"


def confirmation_channel(key: str) -> str:
    """Sharded channel of the key's partition that nobody listens to: a write without a key, for durability checks."""
    return f"{key[: key.index('}') + 1]}:sync"


def clock_offset_key(key: str) -> str:
    """The test clock's key in the partition of ``key``."""
    return f"{key[: key.index('}') + 1]}:off"


def _utf8(identifier: str) -> bytes:
    try:
        return identifier.encode()
    except UnicodeEncodeError as error:
        text = identifier[:80]
        raise InvalidArgumentError(
            f"{text!r} has a lone surrogate: it is no UTF-8 text", field="text", value=text
        ) from error
