"""Attachments of a model request: the newest first, as many as fit, recorded nowhere."""

from __future__ import annotations

import pytest

from lash_core.errors import StoreUnreachableError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.message import AttachmentPart, Message
from lash_core.model.model_call import ModelRequest
from lash_core.model.session import ModelSpec
from lash_core.runtime.attachments import SessionAttachments
from lash_core.runtime.turns import model_attachments
from lash_core.runtime.turns.model_attachments import with_attachments


@pytest.fixture
def attachments() -> SessionAttachments:
    stores = InMemoryStores()
    return SessionAttachments("s", stores.attachments, stores.attachment_manifest)


def request(*references: object) -> ModelRequest:
    messages = tuple(Message("user", (AttachmentPart(reference),)) for reference in references)
    return ModelRequest(model=ModelSpec("m"), messages=messages)


async def test_bytes_of_what_is_referred_to_come_along(attachments: SessionAttachments) -> None:
    ref = await attachments.put(b"one", media_type="text/plain")
    asked = await with_attachments(request(ref.to_json_value(), ref.to_json_value()), attachments)

    assert [(ref.attachment_id, b"one")] == [(found.attachment_id, found.data) for found in asked.attachments]
    assert "attachments" not in asked.to_json_value()
    assert "one" not in repr(asked.attachments)


async def test_what_is_gone_or_no_reference_is_left_out(attachments: SessionAttachments) -> None:
    gone = "0" * 64
    asked = await with_attachments(request({"attachment_id": gone}, {"attachment_id": "x"}, "what"), attachments)

    assert () == asked.attachments


async def test_the_newest_fit_first(attachments: SessionAttachments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_attachments, "REQUEST_BYTES_MAX", 10)
    old, big, new = [await attachments.put(data) for data in (b"o" * 5, b"b" * 7, b"n" * 4)]
    unsized = {**big.to_json_value(), "size_bytes": 0}
    asked = await with_attachments(request(old.to_json_value(), unsized, new.to_json_value()), attachments)

    assert [b"nnnn", b"ooooo"] == [found.data for found in asked.attachments]


async def test_a_store_that_cannot_be_reached_is_said() -> None:
    class Unreachable:
        async def get(self, attachment_id: str) -> bytes:
            raise StoreUnreachableError("no")

    with pytest.raises(StoreUnreachableError):
        await with_attachments(request({"attachment_id": "a"}), Unreachable())


async def test_without_attachments_nothing_is_asked() -> None:
    plain = request()

    assert plain is await with_attachments(plain, None)
