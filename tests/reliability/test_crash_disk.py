"""The disk that crashes: without a crash it is a disk, and after one exactly what may be left."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.directory import Directory
from index.errors import CorruptionError, FencedError, StorageError
from tests.reliability.crash_disk import CrashDisk, Files, Step
from tests.reliability.os_disk import OsDisk, recorded
from tests.reliability.survivors import PAGE, SECTOR, Sampling, images, survivors

NAMES = ("a", "b", "c")
names = st.sampled_from(NAMES)
verbs = st.one_of(
    st.tuples(st.just("write"), names, st.binary(max_size=3)),
    st.tuples(st.just("rename"), names, names),
    st.tuples(st.just("publish"), names, names),
    st.tuples(st.just("delete"), names),
    st.tuples(st.just("append"), names, st.binary(max_size=3)),
    st.tuples(st.just("cut"), names, st.integers(0, 3)),
    st.tuples(st.just("sync")),
)


def do(directory: Directory, files: Files, verb: str, *rest: object) -> None:
    """Do the same to a directory and to a dict; where the dict cannot, the directory must not."""
    name = str(rest[0]) if rest else ""
    if verb == "write" and name not in files:
        directory.write_file(name, (rest[1],))  # type: ignore[arg-type]
        files[name] = bytes(rest[1])  # type: ignore[call-overload]
    elif verb in ("rename", "publish") and name in files and name != rest[1]:
        new = str(rest[1])
        if verb == "publish" and new in files:
            with pytest.raises(FencedError):
                directory.publish(name, new)
            return
        (directory.rename if verb == "rename" else directory.publish)(name, new)
        files[new] = files.pop(name)
    elif verb == "delete" and name in files:
        directory.delete(name)
        del files[name]
    elif verb in ("append", "cut"):
        file = directory.append_file(name)
        data = files.get(name, b"")
        if verb == "append":
            file.write(file.n_bytes, rest[1])  # type: ignore[arg-type]
            files[name] = data + bytes(rest[1])  # type: ignore[call-overload]
        else:
            cut = min(int(str(rest[1])), len(data))
            file.truncate(cut)
            files[name] = data[:cut]
        file.sync()
        file.close()
    elif verb == "sync":
        directory.sync()


@given(st.lists(verbs, max_size=12))
@settings(deadline=None)
def test_without_a_crash_it_holds_what_a_dict_would(done: list[tuple[object, ...]]) -> None:
    disk, files = CrashDisk(), Files()
    directory = disk.folder("folder")
    for verb, *rest in done:
        do(directory, files, str(verb), *rest)
    assert disk.files == {f"folder/{name}": data for name, data in files.items()}
    assert directory.list() == sorted(files)
    assert {name: directory.read(name) for name in files} == files
    assert CrashDisk.killed({}, disk.steps).files == disk.files


@given(st.lists(verbs, max_size=12))
@settings(deadline=None, max_examples=40)
def test_the_real_directory_asks_the_system_for_the_same_steps(
    tmp_path_factory: pytest.TempPathFactory, done: list[tuple[object, ...]]
) -> None:
    disk, below = CrashDisk(), OsDisk(tmp_path_factory.mktemp("disk"))
    files: Files = {}
    for verb, *rest in done:
        do(disk.folder(), files, str(verb), *rest)
    with recorded(below):
        directory = below.folder()
        files = {}
        for verb, *rest in done:
            do(directory, files, str(verb), *rest)
    assert below.files == below.on_disk() == disk.files
    assert [step for step in below.steps if step.data or step.verb != "write"] == [
        step for step in disk.steps if step.data or step.verb != "write"
    ]


def test_it_refuses_what_a_file_system_refuses() -> None:
    directory = CrashDisk({"a": b""}).folder()
    with pytest.raises(CorruptionError, match="not there"):
        directory.read("b")
    with pytest.raises(StorageError, match="exists"):
        directory.write_file("a", (b"",))
    directory.append_file("a")
    with pytest.raises(StorageError, match="in use"):
        directory.append_file("a")


def left(base: Files, disk: CrashDisk) -> set[frozenset[tuple[str, bytes]]]:
    return {state.key for state in survivors(base, disk.steps)}


def disks(*files: Files) -> set[frozenset[tuple[str, bytes]]]:
    return {frozenset(each.items()) for each in files}


def test_every_change_of_a_name_since_the_sync_may_be_lost_by_itself() -> None:
    base = {"a": b"1", "b": b"2"}
    disk = CrashDisk(base)
    disk.folder().delete("a")
    disk.folder().rename("b", "c")
    assert left(base, disk) == disks(
        base,  # all is lost
        {"b": b"2"},  # the deletion alone is there
        {"a": b"1", "c": b"2"},  # the rename alone is there, what was deleted is back
        {"c": b"2"},
    )


def test_after_the_sync_a_name_is_as_it_was_left() -> None:
    disk = CrashDisk({"a": b"1"})
    disk.folder().rename("a", "b")
    disk.folder().sync()
    n_steps = len(disk.steps)
    disk.folder().delete("b")
    after = {state.key for state in survivors({"a": b"1"}, disk.steps, first=n_steps)}
    assert after == disks({"b": b"1"}, {})


def test_a_link_and_the_removal_of_its_old_name_are_two_changes() -> None:
    disk = CrashDisk({"tmp": b"1"})
    disk.folder().publish("tmp", "final")
    both = {"tmp": b"1", "final": b"1"}
    assert left({"tmp": b"1"}, disk) == disks({"tmp": b"1"}, both, {"final": b"1"}, {})


def test_bytes_and_names_are_durable_each_for_itself() -> None:
    disk = CrashDisk()
    disk.do(Step("create", "a", inode=0))
    disk.do(Step("write", inode=0, data=b"xyz"))
    disk.do(Step("sync"))
    n_steps = len(disk.steps)
    disk.do(Step("write", inode=0, position=3, data=b"!"))
    disk.do(Step("truncate", inode=0, position=2))
    found = {dict(state.key).get("a") for state in survivors({}, disk.steps, first=n_steps)}
    assert {b"", b"x", b"xy", b"xyz", b"xyz!"} <= found
    assert None not in found, "the name is durable"
    disk.do(Step("fsync", inode=0))
    n_steps = len(disk.steps)
    disk.note("all is durable")
    (state,) = survivors({}, disk.steps, first=n_steps)
    assert state.files == {"a": b"xy"}


def test_each_note_is_held_against_all_that_may_be_left_by_then() -> None:
    disk = CrashDisk({"a": b""})
    disk.folder().delete("a")
    disk.note(1)
    assert {(len(state.key), state.told) for state in survivors({"a": b""}, disk.steps)} == {
        (1, None), (0, None), (1, 1), (0, 1),
    }  # fmt: skip


def test_a_file_that_was_not_synced_may_be_torn_zeroed_garbled_or_out_of_order() -> None:
    data = bytes(range(1, 251)) * 40
    write = Step("write", inode=0, data=data)
    found = images(b"", [write])
    assert found[:2] == (b"", data)
    assert data[:SECTOR] in found
    assert data[:PAGE] in found
    assert data[:1] in found
    assert data[:-1] in found
    assert bytes(len(data)) in found
    half = len(data) // 2
    assert data[:half] + bytes(half) in found
    assert any(len(image) == len(data) and image[:half] == data[:half] for image in found[2:])
    assert any(image[:SECTOR] == bytes(SECTOR) and image[-9:] == data[-9:] for image in found)


def test_what_was_durable_of_a_growing_file_stays() -> None:
    writes = [Step("write", inode=0, position=3 + at, data=b"%d" % at) for at in range(4)]
    found = images(b"old", writes)
    assert all(image.startswith(b"old") for image in found)
    assert b"old0123" in found
    assert b"old\x00123" in found
    assert b"old012" in found


def test_of_many_pending_changes_a_sample_is_taken_with_both_ends() -> None:
    base = {str(number): b"" for number in range(9)}
    disk = CrashDisk(base)
    for name in base:
        disk.folder().delete(name)
    few = list(survivors(base, disk.steps, Sampling(n_subsets=4)))
    sizes = {len(state.files) for state in few}
    assert {0, 1, 8, 9} <= sizes
    assert len(few) < 200
    assert few == list(survivors(base, disk.steps, Sampling(n_subsets=4)))


def test_the_files_of_a_real_folder_are_those_that_were_recorded(tmp_path: Path) -> None:
    below = OsDisk(tmp_path / "root", {"shards/0/a": b"1"})
    with recorded(below):
        directory = below.folder("shards/0")
        directory.write_file("b", (b"12", b"34"))
        directory.delete("a")
    assert below.files == below.on_disk() == {"shards/0/b": b"1234"}
    verbs = [step.verb for step in below.steps if step.verb != "sync"]
    assert verbs == ["create", "write", "fsync", "unlink"]
