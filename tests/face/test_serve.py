from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.face.process import Running, command, environment, free_port, is_open, run, start


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with start("serve", "--data", str(tmp_path / "data"), cwd=tmp_path) as running:
        running.wait_ready()
        yield running


def fill(server: Running, tmp_path: Path, n_docs: int = 50) -> Path:
    file = tmp_path / "notes.ndjson"
    lines = [{"id": str(n), "title": f"note {n}", "text": "iron bridge"} for n in range(n_docs)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = run("load", "notes", str(file), "--url", server.url, cwd=tmp_path, HOME=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{n_docs} documents in ")
    return file


def test_what_is_loaded_is_found(server: Running, tmp_path: Path) -> None:
    fill(server, tmp_path)
    server.call("POST", "/notes/_refresh")
    found = run("search", "notes", "bridge", "--size", "2", "--url", server.url, cwd=tmp_path)
    assert found.returncode == 0
    assert len(found.stdout.splitlines()) == 2
    assert "note " in found.stdout
    assert found.stderr.startswith("50 hits in ")
    as_json = run("search", "notes", "title:7", "--json", "--url", server.url, cwd=tmp_path)
    assert [hit["_id"] for hit in json.loads(as_json.stdout)["hits"]["hits"]] == ["7"]


def test_an_unknown_index_is_one_line_and_exit_1(server: Running, tmp_path: Path) -> None:
    for name in ("search", "tail"):
        done = run(name, "absent", "x", "--url", server.url, cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "no such index [absent]" in done.stderr


def test_a_bad_query_is_one_line_and_exit_1(server: Running, tmp_path: Path) -> None:
    server.call("PUT", "/notes")
    for name in ("search", "tail"):
        done = run(name, "notes", "title:[1 TO", "--url", server.url, cwd=tmp_path)
        assert done.returncode == 1, done
        assert done.stderr.count("\n") == 1


def test_tail_prints_what_becomes_searchable_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    data, port = str(tmp_path / "data"), free_port()
    with start("serve", "--data", data, cwd=tmp_path, port=port) as first:
        first.wait_ready()
        first.call("PUT", "/notes/_doc/0?refresh=true", {"text": "an old bridge"})
        tail = subprocess.Popen(
            command("tail", "notes", "bridge", "--url", first.url),
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert tail.stdout is not None
        try:
            first.wait_until(lambda: seen(first))
            first.call("PUT", "/notes/_doc/1", {"text": "a bridge"})
            first.call("PUT", "/notes/_doc/2", {"text": "a tunnel"})
            assert "  1  a bridge" in tail.stdout.readline()
            assert first.stop(signal.SIGTERM) == 0
            with start("serve", "--data", data, cwd=tmp_path, port=port) as second:
                second.wait_ready()
                second.wait_until(lambda: seen(second))
                second.call("PUT", "/notes/_doc/3", {"text": "a new bridge"})
                assert "  3  a new bridge" in tail.stdout.readline()
                tail.send_signal(signal.SIGINT)
                assert tail.wait(timeout=10) == 0
        finally:
            tail.kill()
            tail.communicate()


def seen(server: Running) -> bool:
    """Return whether somebody has subscribed."""
    metrics = server.text("/metrics").splitlines()
    lines = [line for line in metrics if line.startswith("tailrace_live_subscribers{")]
    return any(float(line.split()[-1]) > 0 for line in lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_a_restart_has_everything(tmp_path: Path, number: int) -> None:
    data = tmp_path / "data"
    with start("serve", "--data", str(data), cwd=tmp_path) as first:
        first.wait_ready()
        fill(first, tmp_path)
        assert first.stop(number) == 0
        assert not is_open(first.port)
    verified = run("verify", str(data), "--json", cwd=tmp_path)
    assert verified.returncode == 0, verified
    assert json.loads(verified.stdout)["n_docs"] == 50
    with start("serve", "--data", str(data), cwd=tmp_path) as second:
        second.wait_ready()
        assert second.call("GET", "/notes/_count")["count"] == 50


def test_a_taken_port_says_so(server: Running, tmp_path: Path) -> None:
    done = run("serve", "--data", "other", "--port", str(server.port), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        f"tailrace: cannot listen at 127.0.0.1:{server.port}: address already in use; choose "
        "another port with --port or TAILRACE_SERVER__PORT\n"
    )


def test_a_taken_data_directory_says_so(server: Running, tmp_path: Path) -> None:
    port = str(free_port())
    done = run("serve", "--data", str(tmp_path / "data"), "--port", port, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "in use by another process" in done.stderr
    assert str(server.process.pid) in done.stderr


def test_a_stopped_server_keeps_its_log_and_ends_when_it_goes_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with start("serve", "--data", str(data), cwd=tmp_path) as first:
        first.wait_ready()
        fill(first, tmp_path)
        first.process.send_signal(signal.SIGSTOP)
        (data / "node.lock").unlink()
        done = run("serve", "--data", str(data), "--port", str(free_port()), cwd=tmp_path)
        assert done.returncode == 1
        assert f".log is in use by process {first.process.pid}\n" in done.stderr
        first.process.send_signal(signal.SIGCONT)
        assert first.process.wait(timeout=15) == 1
        assert (
            first.errors()
            .splitlines()[-1]
            .startswith(f"tailrace: {data} was taken over by another process")
        )
    with start("serve", "--data", str(data), cwd=tmp_path) as second:
        second.wait_ready()
        assert second.call("GET", "/notes/_count")["count"] == 50


def test_a_configured_index_has_its_mapping_and_shards(tmp_path: Path) -> None:
    file = tmp_path / "tailrace.toml"
    file.write_text(
        f'[storage]\ndata = "{tmp_path}/data"\n'
        "[indexes.notes.source]\npartitions = 3\n"
        "[indexes.notes.mapping.properties]\ntags = { type = 'keyword' }\n"
    )
    for more in ("", "year = { type = 'integer' }\n"):  # the second start adds a field
        file.write_text(file.read_text() + more)
        with start("serve", "--config", str(file), cwd=tmp_path) as running:
            running.wait_ready()
            properties = running.call("GET", "/notes/_mapping")["notes"]["mappings"]["properties"]
            assert properties["tags"] == {"type": "keyword"}
            assert ("year" in properties) == bool(more)
            settings = running.call("GET", "/notes/_settings")["notes"]["settings"]["index"]
            assert settings["number_of_shards"] == "3"
            assert running.stop(signal.SIGTERM) == 0


def test_verify_names_the_damaged_file_and_byte(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with start("serve", "--data", str(data), cwd=tmp_path) as running:
        running.wait_ready()
        fill(running, tmp_path)
        assert running.stop(signal.SIGTERM) == 0
    for pattern in ("*.seg", "*.log"):
        path = max(data.rglob(pattern), key=lambda found: found.stat().st_size)
        sound = path.read_bytes()
        broken = bytearray(sound)
        broken[len(broken) // 2] ^= 1
        path.write_bytes(broken)
        done = run("verify", str(data), cwd=tmp_path)
        path.write_bytes(sound)
        assert done.returncode == 1, (path, done)
        assert str(path) in done.stdout
        assert " at byte " in done.stdout


def test_verify_of_something_else_is_wrong_usage(tmp_path: Path) -> None:
    done = run("verify", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 2
    assert "neither a data directory nor" in done.stderr


def test_a_data_directory_without_indexes_is_sound(tmp_path: Path) -> None:
    (tmp_path / "indexes").mkdir()
    done = run("verify", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done
    assert "sound; 0 shards" in done.stdout


def test_verify_tells_that_an_index_lost_its_settings(tmp_path: Path) -> None:
    shard = tmp_path / "indexes" / "notes" / "shards" / "0"
    shard.mkdir(parents=True)
    (shard / "manifest-00000001.json").write_bytes(b"")
    done = run("verify", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 1, done
    assert "notes/index.json at byte 0: is missing" in done.stdout
