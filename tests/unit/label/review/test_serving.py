"""The service: it answers, holds the set, and ends."""

import http.client
import queue
import socket
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from vidbench.errors import InputError, RunConflictError, UsageError
from vidbench.label.review.serving import ReviewRequest, ReviewResult, review, serve
from vidbench.label.store import LabelSet
from vidbench.progress import SilentReporter


def ask(url: str, path: str) -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port or 0, timeout=20)
    try:
        connection.request("GET", parts.path + path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_it_serves_until_it_is_stopped(label_set: LabelSet) -> None:
    ready: queue.Queue[str] = queue.Queue()
    results: list[ReviewResult] = []
    stop = threading.Event()
    request = ReviewRequest(set=label_set.folder, open_browser=False)
    thread = threading.Thread(target=lambda: results.append(review(request, SilentReporter(), ready.put, stop)))
    thread.start()
    url = ready.get(timeout=20)
    assert ask(url, "api/set") == 200
    with pytest.raises(RunConflictError, match="another process"), serve(label_set.folder):
        pass
    stop.set()
    thread.join()
    assert results == [ReviewResult(label_set.folder, edits=0, rows=16, answered=6, checked=0)]
    with pytest.raises(ConnectionRefusedError):
        ask(url, "api/set")
    # the set is free again
    with serve(label_set.folder) as again:
        assert ask(again, "api/set") == 200
        assert again != url


def test_ctrl_c_ends_it_in_peace(label_set: LabelSet) -> None:
    script = f"""
import os, signal, sys
from pathlib import Path
from vidbench.label.review.serving import ReviewRequest, review
from vidbench.progress import SilentReporter
request = ReviewRequest(set=Path({str(label_set.folder)!r}), open_browser=False)
result = review(request, SilentReporter(), lambda url: os.kill(os.getpid(), signal.SIGINT))
sys.exit(0 if result.rows == 16 else 1)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_port_in_use_is_told(label_set: LabelSet) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"127.0.0.1:{port}"), serve(label_set.folder, port):
            pass
    with serve(label_set.folder, port) as url:
        assert urlsplit(url).port == port


def test_what_cannot_be_reviewed_is_told_first(label_set: LabelSet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no labelled set"), serve(tmp_path / "nothing"):
        pass
    request = ReviewRequest(set=label_set.folder, video="three", open_browser=False)
    with pytest.raises(InputError, match="no video 'three'"):
        review(request, SilentReporter(), lambda url: None)
    (label_set.folder / "set.json").write_text("{}")
    with pytest.raises(InputError, match=r"set\.json"), serve(label_set.folder):
        pass
