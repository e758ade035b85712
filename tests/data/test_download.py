"""Downloads, from a server on this machine: only what is official is kept, and nothing else."""

import http.server
import io
import socket
import threading
import urllib.request
from urllib.error import URLError

import numpy as np
import pytest

from tinygrad_fm import data
from tinygrad_fm.data import DataError, download, known, write_idx

pytestmark = pytest.mark.usefixtures("bare_machine")


@pytest.fixture
def answers(published):
    """What the server sends for a path, by the path; the official files to begin with."""
    return {
        f"/{path.name}": {"body": path.read_bytes(), "status": 200} for path in published.iterdir()
    }


@pytest.fixture
def mirror(answers, tiny, monkeypatch):
    """A running server; `tiny` is fetched from there, and plain http is let through to it only."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            answer = answers.get(self.path, {"status": 404, "body": b"no such file"})
            self.send_response(answer["status"])
            length = answer.get("length", len(answer["body"]))
            if length is not None:
                self.send_header("Content-Length", str(length))
            if "location" in answer:
                self.send_header("Location", answer["location"])
            self.end_headers()
            self.wfile.write(answer["body"])

        def log_message(self, *_):
            pass

    asked = []
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.asked = asked
    server.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    serve(monkeypatch, tiny, server.url)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def serve(monkeypatch, tiny, *urls):
    """Have `tiny` fetched from these addresses, by the opener that also speaks http."""
    strict = download._https_opener

    def opener():
        opener = strict()
        opener.add_handler(urllib.request.HTTPHandler())
        return opener

    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "_https_opener", opener)
    monkeypatch.setitem(known.KNOWN, "tiny", tiny._replace(mirrors=urls))


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def official(tiny):
    return sorted(f"{file.name}.gz" for file in tiny.files)


def test_a_fetched_set_is_found_by_load(mirror, tiny):
    folder = data.fetch("tiny")
    assert names_in(folder) == official(tiny)
    assert data.load("tiny").source == folder


def test_load_downloads_only_when_asked(mirror, tiny, bare_machine):
    with pytest.raises(data.DatasetNotFoundError):
        data.load("tiny")
    assert not mirror.asked
    assert len(data.load("tiny", download=True).train_images) == 6
    assert len(mirror.asked) == 4
    data.load("tiny", download=True)
    assert len(mirror.asked) == 4
    found = data.load("tiny", bare_machine / "root", download=True)
    assert found.source == bare_machine / "root" / "tiny"


def test_the_destination_is_as_given_or_in_the_variable(mirror, tiny, bare_machine, monkeypatch):
    assert data.fetch("tiny", bare_machine / "a" / "b") == bare_machine / "a" / "b"
    assert names_in(bare_machine / "a" / "b") == official(tiny)
    monkeypatch.setenv("TINYGRAD_FM_DATA", str(bare_machine / "variable"))
    assert data.fetch("tiny") == bare_machine / "variable" / "tiny"
    assert data.load("tiny").source == bare_machine / "variable" / "tiny"


def test_what_is_there_and_right_is_kept(mirror, tiny, bare_machine, put):
    folder = put(bare_machine / "root", leave_out=[tiny.train_labels.name])
    put(folder, plain=True, leave_out=[file.name for file in tiny.files[1:]])
    (folder / f"{tiny.test_labels.name}.gz").write_bytes(b"damaged")
    data.fetch("tiny", folder)
    assert sorted(mirror.asked) == sorted(
        [f"/{tiny.train_labels.name}.gz", f"/{tiny.test_labels.name}.gz"]
    )
    assert data.load("tiny", folder).source == folder


def test_a_damaged_plain_file_is_named_and_left_to_its_owner(mirror, tiny, bare_machine, put):
    folder = put(bare_machine / "root")
    write_idx(folder / tiny.test_labels.name, np.zeros(4, np.uint8))
    with pytest.raises(DataError, match=f"{tiny.test_labels.name} .*delete it"):
        data.fetch("tiny", folder)


def spoil(answers, tiny, **changed):
    answers[f"/{tiny.train_images.name}.gz"].update(changed)


def check_nothing_is_kept(folder, message):
    with pytest.raises(DataError, match=message):
        data.fetch("tiny", folder)
    assert names_in(folder) == []


def test_a_response_that_ends_early_is_refused(mirror, tiny, answers, tmp_path):
    body = answers[f"/{tiny.train_images.name}.gz"]["body"]
    spoil(answers, tiny, body=body[:-5], length=len(body))
    check_nothing_is_kept(tmp_path / "into", f"ended after {len(body) - 5} of {len(body)} bytes")


@pytest.mark.parametrize("announced", [True, False])
def test_a_response_that_is_too_large_is_refused(mirror, tiny, answers, tmp_path, announced):
    body = answers[f"/{tiny.train_images.name}.gz"]["body"] + bytes(1)
    spoil(answers, tiny, body=body, length=len(body) if announced else None)
    check_nothing_is_kept(tmp_path / "into", f"sends more than the expected {len(body) - 1} bytes")


def test_other_content_of_the_right_size_is_refused(mirror, tiny, answers, tmp_path):
    spoil(answers, tiny, body=bytes(tiny.train_images.gz_bytes))
    check_nothing_is_kept(tmp_path / "into", "has sha256 .*; expected .*not the official file")


def test_the_payload_is_verified_too(mirror, tiny, tmp_path, monkeypatch):
    entry = known.KNOWN["tiny"]
    wrong = entry.train_images._replace(payload_sha256="0" * 64)
    monkeypatch.setitem(known.KNOWN, "tiny", entry._replace(train_images=wrong))
    check_nothing_is_kept(tmp_path / "into", "expected 0{64}")


def test_a_missing_page_is_refused(mirror, tiny, answers, tmp_path):
    answers.clear()
    check_nothing_is_kept(tmp_path / "into", "answered 404 Not Found")


def test_a_redirect_to_http_is_refused(mirror, tiny, answers, tmp_path):
    spoil(answers, tiny, status=302, body=b"", location=f"{mirror.url}elsewhere.gz")
    check_nothing_is_kept(tmp_path / "into", "redirects to .*elsewhere.gz; refused: expected https")
    assert "/elsewhere.gz" not in mirror.asked


def test_plain_http_and_local_files_do_not_exist_for_the_opener(tmp_path):
    opener = download._https_opener()
    for url in ("http://127.0.0.1:9/x", "ftp://127.0.0.1/x", tmp_path.as_uri(), "data:,x"):
        with pytest.raises(URLError, match="unknown url type"):
            opener.open(url)


def test_a_redirect_to_https_is_followed():
    (handler,) = [
        handler
        for handler in download._https_opener().handlers
        if isinstance(handler, urllib.request.HTTPRedirectHandler)
    ]
    asked = urllib.request.Request("https://one.example/file")
    followed = handler.redirect_request(asked, None, 302, "Found", {}, "https://two.example/file")
    assert followed.full_url == "https://two.example/file"


def test_a_terminal_shows_a_progress_bar(mirror, tiny, tmp_path, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    data.fetch("tiny", tmp_path / "into")
    assert f"{tiny.train_images.name}.gz: 100%" in terminal.getvalue()


@pytest.fixture
def closed_address():
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}/"  # nobody listens


def test_a_refused_connection_says_what_to_do(closed_address, tiny, monkeypatch, tmp_path):
    serve(monkeypatch, tiny, closed_address)
    with pytest.raises(DataError, match=r"could not be fetched(.|\n)*refused") as caught:
        data.fetch("tiny", tmp_path / "into")
    assert "Check the network, or put the files into" in str(caught.value)
    assert closed_address in str(caught.value)
    assert names_in(tmp_path / "into") == []


def test_the_next_mirror_is_tried(closed_address, mirror, tiny, monkeypatch, tmp_path):
    serve(monkeypatch, tiny, closed_address, mirror.url)
    assert names_in(data.fetch("tiny", tmp_path / "into")) == official(tiny)


class Interrupted:
    """A response that is interrupted after its first bytes."""

    def __init__(self, error):
        self.pieces = iter([b"first bytes", error])

    def open(self, url, timeout):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def read(self, count):
        piece = next(self.pieces)
        if isinstance(piece, BaseException):
            raise piece
        return piece


def test_ctrl_c_leaves_nothing(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_https_opener", lambda: Interrupted(KeyboardInterrupt()))
    monkeypatch.setitem(known.KNOWN, "tiny", tiny._replace(mirrors=("https://nowhere/",)))
    with pytest.raises(KeyboardInterrupt):
        data.fetch("tiny", tmp_path / "into")
    assert names_in(tmp_path / "into") == []


def test_a_network_that_falls_silent_is_reported(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_https_opener", lambda: Interrupted(TimeoutError("timed out")))
    monkeypatch.setitem(known.KNOWN, "tiny", tiny._replace(mirrors=("https://nowhere/",)))
    check_nothing_is_kept(tmp_path / "into", "could not be read: timed out")


def test_a_folder_that_cannot_be_written_is_named(mirror, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=r"cannot write to .*file.into: .*destination="):
        data.fetch("tiny", tmp_path / "file" / "into")


def test_a_user_without_a_home_is_asked_for_a_destination(tiny, monkeypatch):
    monkeypatch.setattr(download, "default_destination", lambda *_: None)
    with pytest.raises(DataError, match=r"no home folder .*destination="):
        data.fetch("tiny")


def test_what_is_shipped_is_not_fetched():
    with pytest.raises(DataError, match=r'nothing to fetch; write data.load\("fashion-mnist-mini"'):
        data.fetch("fashion-mnist-mini")
    with pytest.raises(DataError, match="did you mean 'fashion-mnist'"):
        data.fetch("fashion-mnst")
