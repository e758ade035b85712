"""What tests of compiled loops share."""

import pytest

from tinygrad_fm import fast


@pytest.fixture
def at_once(monkeypatch, tmp_path):
    """Kernels are compiled at the third call, and kept in an empty folder."""
    monkeypatch.setenv(fast.VARIABLE, "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(fast, "_left", None)
    monkeypatch.setattr(fast, "_kernels", {})
