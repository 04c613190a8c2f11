"""W3: the disk of a move's target is full: who moves is told, the source stays a store, and the target never becomes half of one."""

from __future__ import annotations

import asyncio
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from redrive import AsyncDurableService, UnusableStore
from redrive.moving import archive_of, move
from redrive.ports.store import StoreError
from tests.runtime.test_moving import WORKFLOWS, everything, fill, url, waits, word

Resize = Callable[[int], None]
SOME_ROOM = 360_000
"""Bytes: enough for the tables, and not for what goes into them."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Resize]]:
    """A small disk, and how to change its size in KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if shutil.which("mount") is None:
        pytest.skip("there is no mount(8) here")
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"`{' '.join(mount)}` says: {mounted.stderr.strip()} (it takes root with CAP_SYS_ADMIN)")

    def resize(kib: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={kib}k", str(folder)], check=True)

    try:
        yield folder, resize
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def refused(old: str, new: str) -> str | None:
    """What is said where it cannot be moved; None where it was."""
    try:
        await move(archive_of(old), archive_of(new))
    except StoreError as error:
        return str(error)
    return None


def empty(folder: Path) -> None:
    for left in folder.iterdir():
        left.unlink()


async def test_a_disk_that_is_full_at_any_moment_of_a_move_costs_nothing(tmp_path: Path, disk: tuple[Path, Resize]) -> None:
    folder, resize = disk
    old, new = url(tmp_path / "old.db"), url(folder / "new.db")
    await fill(old)
    before = await everything(old)
    told = list[str | None]()
    for kib in range(SOME_ROOM // 1024 + 16, 2000, 12):
        resize(kib)
        told.append(await refused(old, new))
        if told[-1] is None:
            break
        assert await everything(old) == before
        resize(4000)  # there must be room for who looks
        with pytest.raises(UnusableStore, match="did not finish; delete it and move again"):
            await everything(new)
        empty(folder)
    assert len(told) > 10
    assert set(told) == {f"{folder / 'new.db'}: database or disk is full", None}
    resize(4000)
    assert await everything(new) == before


async def test_a_page_of_executions_that_is_longer_than_memory_and_disk_is_refused_as_any_other(
    tmp_path: Path, disk: tuple[Path, Resize]
) -> None:
    """SQLite has to write before the end of the transaction then, and takes it back by itself."""
    folder, resize = disk
    resize(20_000)
    old, new = url(tmp_path / "old.db"), url(folder / "new.db")
    async with AsyncDurableService(old, WORKFLOWS, worker=False) as client:
        for _ in range(90):
            await client.start(waits("x" * 1_000_000))
    with pytest.raises(StoreError, match="database or disk is full"):
        await move(archive_of(old), archive_of(new))


def migrate_store(old: str, new: str) -> subprocess.CompletedProcess[str]:
    """The command, where no file may be longer than `SOME_ROOM`."""
    command = [sys.executable, "-m", "redrive.cli", "migrate-store", old, new]
    limits = resource.RLIMIT_FSIZE, (SOME_ROOM, SOME_ROOM)
    return subprocess.run(command, preexec_fn=lambda: resource.setrlimit(*limits), capture_output=True, text=True, timeout=60, check=False)


async def test_a_move_that_has_no_room_says_so_and_its_source_goes_on(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk."""
    old = url(tmp_path / "old.db")
    await fill(old)
    before = await everything(old)
    moved = await asyncio.to_thread(migrate_store, old, url(tmp_path / "new.db"))
    assert (moved.returncode, moved.stdout) == (1, "")
    assert moved.stderr.strip().splitlines()[-1].startswith(f"redrive: {tmp_path / 'new.db'}: ")
    assert "Traceback" not in moved.stderr
    assert await everything(old) == before
    async with AsyncDurableService(old, WORKFLOWS) as service:
        await service.signal("plain", word, "on")
        assert await service.execution("plain", waits).result(10) == "plain heard on"
