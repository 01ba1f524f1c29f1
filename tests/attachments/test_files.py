"""Large attachments in a folder: whole or not there, on disk when they are said to be, safe side by side."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lash_core.clock import VirtualClock
from lash_core.errors import CorruptRecordError, LimitExceededError, StoreRefusedError
from lash_core.file_store import content_folder
from lash_core.file_store.attachment_store import FileAttachmentStore
from lash_core.file_store.content_folder import ContentFolder
from lash_core.file_store.file_systems import is_kept_in_memory
from lash_core.file_store.tiered_attachments import TieredAttachmentStore
from lash_core.memory_store.content_stores import MemoryAttachmentStore
from lash_core.model.disposition import DurabilityTier
from lash_core.store.attachment_store import AttachmentNotFoundError

MB = 1024 * 1024


def store_of(folder: Path, clock: VirtualClock | None = None, bytes_max: int = 64 * MB) -> FileAttachmentStore:
    """A store with a clock of its own."""
    times = clock or VirtualClock()

    async def now_ms() -> int:
        return times.now_ms()

    return FileAttachmentStore(folder, now_ms, bytes_max=bytes_max)


def files_in(folder: Path) -> list[str]:
    """Every file, relative."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def parts(count: int, size: int) -> AsyncIterator[bytes]:
    """A stream."""
    for number in range(count):
        yield bytes([number % 256]) * size


async def test_a_file_lies_under_its_digest_and_nothing_else_is_left(tmp_path: Path) -> None:
    """Sharded by two digits; incoming and leaving are empty again."""
    store = store_of(tmp_path)
    ref = await store.put(parts(8, MB))
    digest = ref.attachment_id.rpartition(":")[2]

    assert [f"{digest[:2]}/{digest}"] == files_in(tmp_path)
    assert 8 * MB == (tmp_path / digest[:2] / digest).stat().st_size == ref.size_bytes
    await store.delete(ref.attachment_id)
    assert [] == files_in(tmp_path)


async def test_what_is_too_large_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    """The error names the limit; a stream is cut off there."""
    store = store_of(tmp_path, bytes_max=MB)
    for data in (b"x" * (MB + 1), parts(1_000, MB)):
        with pytest.raises(LimitExceededError, match=f"the limit is {MB}") as caught:
            await store.put(data)
        assert MB == caught.value.limit

    assert [] == files_in(tmp_path)


async def test_nobody_sees_part_of_a_file(tmp_path: Path) -> None:
    """Until the stream has ended there is no file under its digest, and afterwards it is complete."""
    store, seen = store_of(tmp_path), list[list[str]]()

    async def watched() -> AsyncIterator[bytes]:
        async for part in parts(4, MB):
            seen.append([name for name in files_in(tmp_path) if not name.startswith("incoming/")])
            yield part

    ref = await store.put(watched())

    assert [[]] * 4 == seen
    assert 4 * MB == len(await store.get(ref.attachment_id))


async def test_bytes_and_name_are_on_disk_before_a_put_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is synced before it is named, and the folder of the name afterwards."""
    synced: list[str] = []
    plain = os.fsync

    def fsync(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        synced.append("folder" if path.is_dir() else path.parent.name)
        plain(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    await store_of(tmp_path).put(b"data")

    assert ["incoming", "folder", "folder"] == synced


async def test_bytes_changed_behind_the_store_are_not_handed_out(tmp_path: Path) -> None:
    """Neither at once nor, behind the last portion, in a stream."""
    store = store_of(tmp_path)
    ref = await store.put(b"right")
    digest = ref.attachment_id.rpartition(":")[2]
    (tmp_path / digest[:2] / digest).write_bytes(b"wrong")

    with pytest.raises(CorruptRecordError):
        await store.get(ref.attachment_id)
    with pytest.raises(CorruptRecordError):
        assert [b"wrong"] == [part async for part in store.read(ref.attachment_id)]


async def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "taken").write_text("x")

    with pytest.raises(StoreRefusedError, match="taken"):
        await store_of(tmp_path / "taken").put(b"data")


async def test_what_crashes_left_is_cleared_away(tmp_path: Path) -> None:
    """A day later: what came in is removed, what was going out is moved back, for its delete may have been wrong."""
    store = store_of(tmp_path)
    ref = await store.put(b"data")
    digest = ref.attachment_id.rpartition(":")[2]
    long_ago = int(time.time()) - content_folder.LEFTOVER_SECONDS - 10
    (tmp_path / digest[:2] / digest).rename(tmp_path / "leaving" / f"{digest}.{long_ago}.abc")
    half = tmp_path / "incoming" / "half"
    half.write_bytes(b"da")
    os.utime(half, (long_ago, long_ago))
    (tmp_path / "incoming" / "young").write_bytes(b"d")

    await store_of(tmp_path).put(b"other")

    assert b"data" == await store.get(ref.attachment_id)
    assert ["incoming/young"] == [name for name in files_in(tmp_path) if name.startswith(("incoming", "leaving"))]


async def test_a_delete_that_a_put_overtakes_gives_the_file_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The put comes between the look at the time and the move."""
    store = store_of(tmp_path)
    ref = await store.put(b"data")
    (stored,) = (await store.list_stored()).items
    folder = ContentFolder(tmp_path)
    digest = ref.attachment_id.rpartition(":")[2]
    plain = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if target.parent.name == "leaving":
            assert folder.refresh(digest, stored.put_at_ms + 5)
        return plain(self, target)

    monkeypatch.setattr(Path, "rename", rename)

    assert not await store.delete_unchanged(stored)
    assert b"data" == await store.get(ref.attachment_id)
    assert [f"{digest[:2]}/{digest}"] == files_in(tmp_path)


async def test_a_put_whose_file_is_moved_away_under_its_hands_stores_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The delete comes between the lookup of the name and the change of the time."""
    store = store_of(tmp_path)
    ref = await store.put(b"data")
    plain, digest = os.utime, ref.attachment_id.rpartition(":")[2]

    def utime(path: Path, ns: tuple[int, int]) -> None:
        moved = path
        if path.name == digest:
            moved = path.rename(tmp_path / "gone")
        plain(moved, ns=ns)

    monkeypatch.setattr(os, "utime", utime)
    await store.put(b"data")

    assert b"data" == await store.get(ref.attachment_id)


def test_threads_that_put_and_delete_never_lose_what_was_put(tmp_path: Path) -> None:
    """A storm on one digest: whoever has put can read until somebody lists it and deletes what was listed."""
    folder = ContentFolder(tmp_path)
    folder.prepare()
    digest, errors, end = "ab" * 32, list[str](), time.monotonic() + 1.5

    def put() -> None:
        while time.monotonic() < end:
            path, file = folder.open_incoming()
            with file:
                file.write(b"data")
            folder.place(path, digest, 1_700_000_000_000)
            stamps = [stamp for _, stamp in folder.list_after("", 10, float("inf"))]
            found = folder.open(digest)
            if found is None and not stamps:
                continue  # another thread deleted what it had listed, which may have been ours
            if found is not None:
                with found:
                    if found.read() != b"data":
                        errors.append("part of a file")

    def delete() -> None:
        while time.monotonic() < end:
            for name, stamp in folder.list_after("", 10, float("inf")):
                folder.remove(name, stamp)

    threads = [threading.Thread(target=target) for target in (put, put, put, delete, delete)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == errors
    assert [] == [name for name in files_in(tmp_path) if name.startswith(("incoming", "leaving"))]


def test_file_systems_in_memory_are_told_apart(tmp_path: Path) -> None:
    """By the mount that the folder is really on."""
    mounts = tmp_path / "mounts"
    mounts.write_text("disk / ext4 rw 0 0\ntmpfs /dev/shm tmpfs rw 0 0\ndisk /dev/shm/kept ext4 rw 0 0\n")

    assert is_kept_in_memory(Path("/dev/shm/x"), mounts)
    assert not is_kept_in_memory(Path("/dev/shm/kept/x"), mounts)
    assert not is_kept_in_memory(Path("/srv/x"), mounts)
    assert not is_kept_in_memory(Path("/srv/x"), tmp_path / "absent")


def yes(folder: Path) -> bool:
    """Every folder is in memory."""
    return folder.is_absolute()


def no(folder: Path) -> bool:
    """None is."""
    return not folder.is_absolute()


async def test_the_tier_is_that_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And of two stores together the weaker one's."""
    files = store_of(tmp_path)
    durable = MemoryAttachmentStore(durability_tier=DurabilityTier.DURABLE)
    monkeypatch.setattr("lash_core.file_store.attachment_store.is_kept_in_memory", no)
    assert DurabilityTier.DURABLE == files.durability_tier()
    assert DurabilityTier.DURABLE == TieredAttachmentStore(durable, files).durability_tier()
    assert DurabilityTier.INLINE == TieredAttachmentStore(MemoryAttachmentStore(), files).durability_tier()
    monkeypatch.setattr("lash_core.file_store.attachment_store.is_kept_in_memory", yes)
    assert DurabilityTier.INLINE == TieredAttachmentStore(durable, files).durability_tier()


async def test_attachments_go_where_their_size_belongs(tmp_path: Path) -> None:
    """Bytes and streams alike, on both sides of the bound."""
    small, files = MemoryAttachmentStore(), store_of(tmp_path)
    store = TieredAttachmentStore(small, files, small_bytes_max=10)

    async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    little = [await store.put(b"a" * 10), await store.put(stream(b"b" * 4, b"b" * 6))]
    large = [await store.put(b"c" * 11), await store.put(stream(b"d" * 4, b"d" * 6, b"d"))]

    for ref in little:
        assert await small.get(ref.attachment_id)
    for ref in large:
        with pytest.raises(AttachmentNotFoundError):
            await small.get(ref.attachment_id)
    assert 2 == len(files_in(tmp_path))
    assert [b"a" * 10, b"b" * 10, b"c" * 11, b"d" * 11] == list(
        await asyncio.gather(*(store.get(ref.attachment_id) for ref in little + large))
    )
