"""tinygrad-fm data: the list, one description, and downloads that are not needed or fail."""

import pytest

from tinygrad_fm import data
from tinygrad_fm.data import DataError, places


def test_info_lists_every_set_and_where_it_is(command):
    done = command("data", "info")
    assert done.code == 0
    assert done.out.splitlines() == [
        "name                training  test    where",
        "fashion-mnist       60,000    10,000  not found; get it with: tinygrad-fm data fetch "
        "fashion-mnist",
        "fashion-mnist-mini  6,000     1,000   shipped with tinygrad_fm",
        "kmnist              60,000    10,000  not found; get it with: tinygrad-fm data fetch "
        "kmnist",
    ]


def test_info_describes_one(command):
    done = command("data", "info", "fashion-mnist-mini")
    assert done.code == 0
    for text in (
        "6,000 images of 28x28, uint8",
        "1,000 images",
        f"{places.SHIPPED_FOLDER}, checksums verified",
        "MIT, Copyright",
        "pixels     mean 0.2",
        "9      Ankle boot   600       100",
    ):
        assert text in done.out


def test_info_of_what_is_not_there_says_how_to_get_it(command):
    done = command("data", "info", "fashion-mnist")
    assert (done.code, done.out) == (1, "")
    assert "tinygrad-fm data info: fashion-mnist was not found" in done.err


def test_fetch_of_what_is_shipped_has_nothing_to_do(command):
    done = command("data", "fetch", "fashion-mnist-mini")
    assert done.code == 0
    assert "there is nothing to fetch" in done.out


@pytest.mark.parametrize(
    ("words", "hint"), [([], False), (["--to", "elsewhere"], True)], ids=["cache", "--to"]
)
def test_fetch_says_where_it_put_the_files(command, monkeypatch, bare_machine, words, hint):
    cache = places.cache_folder() / "fashion-mnist"

    def fetch(name, to):
        folder = bare_machine / to if to else cache
        folder.mkdir(parents=True)
        for file in data.known.FASHION_MNIST.files:
            (folder / file.name).write_bytes(b"")
        return folder

    monkeypatch.setattr(data, "fetch", fetch)
    done = command("data", "fetch", "fashion-mnist", *words)
    assert done.code == 0
    assert "fashion-mnist is in " in done.out
    assert ("tinygrad-fm train --data fashion-mnist --data-root " in done.out) is hint


def test_a_failed_fetch_is_an_error_without_a_traceback(command, monkeypatch):
    def fetch(name, to):
        raise DataError("https://example.org could not be read: no network")

    monkeypatch.setattr(data, "fetch", fetch)
    done = command("data", "fetch", "fashion-mnist")
    assert done.code == 1
    assert done.err == (
        "tinygrad-fm data fetch: https://example.org could not be read: no network\n"
    )
