"""What an open wait says of itself to people."""

from __future__ import annotations

from lash_core.model.await_event import AwaitEventKey, WaitIdentity
from lash_core.model.execution_scope import ExecutionScope
from lash_core.runtime.open_wait import OpenWait, waits_for


async def test_waits_name_what_they_wait_for() -> None:
    """Each kind in words, equal ones once, many cut short; a promise's token is not among the words."""
    key = AwaitEventKey.mint(ExecutionScope.process("p"), WaitIdentity.custom("payment"), b"secret")
    signal, promise, child = OpenWait("signal", ("signal.go", 2)), OpenWait("promise", key), OpenWait("child", "c")

    assert "a sleep" == waits_for([OpenWait("sleep"), OpenWait("sleep")])
    assert "`signal.go` number 2, promise `payment`, process `c`" == waits_for([signal, promise, child])
    assert "process `c` and 7 more" == waits_for([OpenWait("child", "c") for _ in range(10)])
