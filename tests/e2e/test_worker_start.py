"""Local expert workers that cannot start: `serve` says why and ends, instead of waiting for them."""

import os

from tandem_process import MODEL, Service


def test_a_worker_that_can_never_start_ends_serve_with_its_reason(tmp_path, monkeypatch):
    # No socket path may be longer than 107 bytes.
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    with Service(tmp_path / "log", "serve", MODEL, "--expert-workers", 2, wait=False) as server:
        assert server.wait() == 1
        last = server.log_text().splitlines()[-1]
    assert "expert workers could not be started" in last
    assert "exit code 1" in last
    assert "cannot listen on unix:" in last
    assert not os.listdir(folder), "the sockets' folder is removed"
