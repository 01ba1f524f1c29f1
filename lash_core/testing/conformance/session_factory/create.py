"""``create_store`` and ``open_existing_store``: a session is made once (``docs/contracts/sessions.md`` 2.6)."""

from __future__ import annotations

import asyncio

from lash_core.errors import InvalidArgumentError, LimitExceededError, UnknownSessionError
from lash_core.errors.session import SessionBindingMismatchError
from lash_core.model.disposition import DurabilityTier
from lash_core.model.scope import CausalRef
from lash_core.model.session import ChildRelation, ModelSpec, SessionPolicy, SessionStoreCreateRequest
from lash_core.store.runtime_persistence import RuntimePersistence
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.session_scene import (
    POLICY,
    SessionStores,
    appending,
    committed,
    factory_of,
    loaded,
    opened,
)


async def a_fresh_session_has_its_meta(stores: SessionStores) -> None:
    """Named after its id; model and relation from the request; the time is the store's. There is no head."""
    session_id = unique("session/\u00e9:{x}")
    relation = ChildRelation("parent", caused_by=CausalRef.process("p1"))
    request = SessionStoreCreateRequest(session_id, relation=relation, policy=POLICY)

    store = await factory_of(stores).create_store(request)

    meta = await store.load_session_meta()
    assert meta is not None
    assert (session_id, session_id, "model-1", relation, None) == (
        meta.session_id,
        meta.session_name,
        meta.model,
        meta.relation,
        meta.cwd,
    )
    assert meta.created_at_ms > 0
    assert session_id == store.session_id
    assert isinstance(store, RuntimePersistence)
    assert await store.load_session() is None


async def a_meta_over_the_payload_limit_is_refused(stores: SessionStores) -> None:
    """When the session is made and when its meta is written; nothing is."""
    session_id, long = unique("session"), "x" * 300_000
    request = SessionStoreCreateRequest(session_id, policy=SessionPolicy(model=ModelSpec(long)))
    with refused(LimitExceededError, "meta"):
        await factory_of(stores).create_store(request)
    assert await factory_of(stores).open_existing_store(session_id) is None

    store = await opened(stores)
    before = await store.load_session_meta()
    assert before is not None
    with refused(LimitExceededError, "meta"):
        await store.save_session_meta(before.model_copy(update={"session_name": long}))
    assert before == await store.load_session_meta()


async def what_is_there_is_never_overwritten(stores: SessionStores) -> None:
    """Neither its meta nor anything else of it."""
    store = await opened(stores)
    await committed(store, graph=appending("a"))
    before = await store.load_session_meta(), await loaded(store)
    other = SessionStoreCreateRequest(
        store.session_id, relation=ChildRelation("p"), policy=SessionPolicy(model=ModelSpec("other"))
    )

    again = await factory_of(stores).create_store(other)

    assert before == (await again.load_session_meta(), await loaded(again))


async def many_at_once_make_one_session(stores: SessionStores) -> None:
    """They all see the same meta."""
    session_id = unique("session")
    requests = [SessionStoreCreateRequest(session_id, policy=SessionPolicy(model=ModelSpec(f"m{n}"))) for n in range(6)]

    found = await asyncio.gather(*(factory_of(stores).create_store(request) for request in requests))

    assert 1 == len({str(await store.load_session_meta()) for store in found})


async def an_existing_session_is_opened(stores: SessionStores) -> None:
    """Before and after its first commit; an unknown one is None, and is not made."""
    store, absent = await opened(stores), unique("absent")
    factory = factory_of(stores)
    existing = await factory.open_existing_store(store.session_id)
    assert existing is not None
    assert store.session_id == existing.session_id

    assert await factory.open_existing_store(absent) is None
    assert await factory.open_existing_store(absent) is None

    await committed(existing, graph=appending("a"))
    assert await loaded(store) == await loaded(existing)


async def an_illegal_id_is_refused(stores: SessionStores) -> None:
    """Blank, with a reserved or a control character, too long."""
    for session_id in ("", " ", "a#b", "a\nb", " a", "x" * 201):
        with refused(InvalidArgumentError):
            await factory_of(stores).create_store(SessionStoreCreateRequest(session_id))


async def meta_is_saved_and_loaded(stores: SessionStores) -> None:
    """Whole; a name and a folder may be given later. Of this session only, and only while it is there."""
    store, other = await opened(stores), await opened(stores)
    meta = await store.load_session_meta()
    assert meta is not None
    named = meta.model_copy(update={"session_name": "Caf\u00e9", "cwd": "/srv/x"})

    await store.save_session_meta(named)

    assert named == await store.load_session_meta()
    with refused(SessionBindingMismatchError, store.session_id):
        await other.save_session_meta(named)
    await factory_of(stores).delete_session(store.session_id)
    with refused(UnknownSessionError, store.session_id):
        await store.save_session_meta(named)
    assert await store.load_session_meta() is None


async def the_tier_is_the_factorys(stores: SessionStores) -> None:
    """A store survives what its factory survives."""
    factory, store = factory_of(stores), await opened(stores)

    assert factory.durability_tier() is store.durability_tier()
    assert factory.durability_tier() in tuple(DurabilityTier)
