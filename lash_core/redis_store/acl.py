"""ACL roles of a namespace: observer, worker, enqueuer (DESIGN 8). Tested against real servers.

Rules need Redis 7.0 or Valkey: read-only key patterns and selectors. A selector lets a role name keys to a script; what
the script then does to them is checked command by command against the whole rule, so a role may run any script and do
no more with it than without.
"""

from __future__ import annotations

from typing import Literal

from lash_core.errors import InvalidArgumentError
from lash_core.model.ids import check_namespace

Role = Literal["observer", "worker", "enqueuer"]

ROLES: tuple[Role, ...] = ("observer", "worker", "enqueuer")

# WAITAOF comes with the connection category where the server has it; naming it would be an error on Redis 7.0.
_CONNECTION = "-@all +@connection -@admin -@dangerous +time +info"
_CLUSTER = "+cluster|slots +cluster|shards +cluster|nodes +cluster|myid +asking +readonly"
_READS = (
    "+get +mget +getrange "
    "+exists +strlen +hget +hmget +hgetall +hexists +hlen +hkeys +hvals +hscan +hstrlen +lrange +llen +lindex +lpos "
    "+zrange +zrangebyscore +zrangebylex +zlexcount +zscore +zmscore +zcard +zcount +zscan +zrandmember "
    "+sismember +scard +smembers +srandmember "
    "+xread +xrange +xrevrange +xlen +memory|usage"
)
_WRITES = (
    "+set +setrange +del +unlink +hset +hsetnx +hdel +hincrby +rpush +lpush +lpop +rpop +ltrim +lrem +zadd +zrem "
    "+sadd +srem "
    "+xadd +xdel +xtrim"
)
_SCRIPTS = "+eval +evalsha +script|load +script|exists"
_NAMED_READS = (
    "+get +exists +hget +hmget +hgetall +hexists +hlen +hstrlen +lrange +llen +lindex +lpos +zscore +zmscore "
    "+zrange +zrangebyscore +zrangebylex +zcard +sismember +xrange"
)
_NAMED_WRITES = "+set +hset +hdel +hincrby +rpush +rpop +ltrim +zadd +zrem +xadd +xdel +xtrim"

_ENQUEUER_WRITES = (
    *("p:*", "c:*", "e:*", "a:*", "g:*", "sg:*", "sk:*", "w:*", "sw:*", "wo:*"),
    # Sessions: made, given work and inputs, which may be taken back while nobody works on them.
    *("ses", "sh:*", "sq:*", "sqo:*", "sqd:*", "sr:*", "srz:*", "si:*", "sio:*", "srd"),
    *("rdy:*", "meta", "chg", "n", "out", "ctl", "jx"),
    # Who watches a session is told of the work that it was given.
    *("lr:*", "lrt", "lrx"),
    # Occurrences of triggers and what they reserve; the triggers themselves it can only read.
    *("occ", "set", "dlv", "res", "fail"),
    # Tickets of the web app, redeemed.
    "tkt",
)
_ENQUEUER_READS = (
    *("own", "lse", "ow", "sub", "src", "due"),
    *("sn:*", "so:*", "st:*", "su:*", "sb:*", "ss:*", "slo", "sle", "sld"),
)

WARNING = (
    "Redis checks keys and commands, not verbs: who has an enqueuer's password can forge a row with plain commands,\n"
    "and a worker's can do anything to the namespace. Give an enqueuer's password only to code that may decide what\n"
    "runs."
)

_MEANING: dict[Role, str] = {
    "observer": "reads everything of the namespace but the signing secret; runs no script, writes nothing",
    "worker": "everything that workers, reapers and clients of the namespace do; no other namespace, no administration",
    "enqueuer": "registers, cancels, signals, emits occurrences of triggers, resolves await-event tokens (for that it\n"
    "# reads the signing secret), gives sessions work, reads the rows and sessions that it can name; cannot claim,\n"
    "# commit, list or delete",
}


def acl_rules(role: Role, namespace: str = "lash") -> str:
    """The rules of a role, as ``ACL SETUSER <name>`` takes them. Without a password nobody can log in.

    Raises:
        InvalidArgumentError: an unknown role or an illegal namespace.
    """
    check_namespace(namespace)
    if role not in ROLES:
        raise InvalidArgumentError(f"role {role!r} must be one of {', '.join(ROLES)}", field="role", value=role)
    own, channels = f"{{{namespace}:*}}:", f"resetchannels &{{{namespace}:*}}:*"
    match role:
        case "observer":
            rules = [_CONNECTION, _CLUSTER, _READS, "+ssubscribe +sunsubscribe", f"resetkeys %R~{own}*", channels]
        case "worker":
            secret = f"~sec:{{{namespace}:dir}}"
            publish = "+ssubscribe +sunsubscribe +spublish"
            rules = [_CONNECTION, _CLUSTER, _READS, _WRITES, _SCRIPTS, publish, f"resetkeys ~{own}* {secret}", channels]
        case "enqueuer":
            keys = [f"~{own}{name}" for name in _ENQUEUER_WRITES] + [f"%R~{own}{name}" for name in _ENQUEUER_READS]
            # Content is named by its digest: whoever reads a session finds its large blobs.
            keys += [f"%R~{{{namespace}:dir}}:*", f"%R~{{{namespace}:env:*}}:*", f"%R~sec:{{{namespace}:dir}}"]
            named = f"{_NAMED_READS} {_NAMED_WRITES} +script|load +script|exists +ssubscribe +sunsubscribe +spublish"
            selector = f"(+eval +evalsha ~{own}*)"
            rules = [_CONNECTION, _CLUSTER, named, "resetkeys " + " ".join(keys), channels, selector]
    return " ".join(["on", "clearselectors", *rules])


def acl_line(role: Role, namespace: str = "lash") -> str:
    """The role as a line of an ACL file; the user is ``<namespace>-<role>``."""
    return f"user {namespace}-{role} {acl_rules(role, namespace)}"


def acl_text(role: Role, namespace: str = "lash") -> str:
    """The role for people: what it may do, what no ACL can prevent, the line, and how to give it a password."""
    warning = "\n".join(f"# {line}" for line in WARNING.splitlines())
    user = f"{namespace}-{role}"
    return (
        f"# {role}: {_MEANING[role]}\n{warning}\n"
        f"# Nobody can log in before it has a password: ACL SETUSER {user} '>…'. ACL files take no comments.\n"
        f"{acl_line(role, namespace)}\n"
    )
