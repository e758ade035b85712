"""IDX files: what is written is read back, and a file that lies about itself is refused."""

import gzip
import os
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tinygrad_fm.data import DataError, read_idx, write_idx

DTYPES = ["uint8", "int8", "int16", "int32", "float32", "float64"]


def header(*shape, code=0x08):
    return struct.pack(f">2xBB{len(shape)}I", code, len(shape), *shape)


@pytest.fixture(params=["file", "file.gz"])
def save(request, tmp_path):
    """save(contents) writes them as they are, and once more compressed."""

    def save(contents):
        path = tmp_path / request.param
        path.write_bytes(gzip.compress(contents) if path.suffix else contents)
        return path

    return save


@given(
    array=st.sampled_from(DTYPES).flatmap(
        lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=0, max_dims=4, min_side=0))
    ),
    name=st.sampled_from(["array.idx", "array.idx.gz"]),
    order=st.sampled_from("CF"),
)
def test_what_is_written_is_read_back(tmp_path_factory, array, name, order):
    path = tmp_path_factory.getbasetemp() / name
    write_idx(path, np.asarray(array, order=order))
    found = read_idx(path)
    assert found.dtype == array.dtype
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, array, strict=True)


@pytest.mark.parametrize(
    ("code", "kind", "dtype"), list(zip([8, 9, 11, 12, 13, 14], "Bbhifd", DTYPES, strict=True))
)
def test_the_six_element_types_are_big_endian_on_disk(save, code, kind, dtype):
    found = read_idx(save(header(2, code=code) + struct.pack(f">2{kind}", 1, 100)))
    np.testing.assert_array_equal(found, np.array([1, 100], dtype), strict=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_byte_order_in_memory_does_not_matter_to_writing(tmp_path, dtype):
    array = np.arange(6, dtype=dtype).reshape(2, 3)
    write_idx(tmp_path / "native", array)
    write_idx(tmp_path / "swapped", array.astype(array.dtype.newbyteorder()))
    assert (tmp_path / "native").read_bytes() == (tmp_path / "swapped").read_bytes()


def test_what_is_read_can_be_written_to(save):
    found = read_idx(save(header(3) + b"abc"))
    found += 1
    assert bytes(found) == b"bcd"


def test_compression_is_seen_from_the_contents_not_the_name(tmp_path):
    (tmp_path / "plain.gz").write_bytes(header(3) + b"abc")
    (tmp_path / "packed").write_bytes(gzip.compress(header(3) + b"abc"))
    assert bytes(read_idx(tmp_path / "plain.gz")) == b"abc"
    assert bytes(read_idx(str(tmp_path / "packed"))) == b"abc"


def test_compressed_bytes_depend_on_the_array_alone(tmp_path):
    write_idx(tmp_path / "a.gz", np.arange(9, dtype=np.uint8))
    write_idx(tmp_path / "b.gz", np.arange(9, dtype=np.uint8))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "truncated: it holds 0 bytes; expected a header"),
        (b"\0\0\x08", "truncated: it holds 3 bytes"),
        (header(2, 3)[:9], "truncated: its header has 9 bytes; expected 12 for 2 dimensions"),
        (header(2, 3) + b"abcde", r"truncated: .*\(2, 3\) of uint8, 6 bytes, but .* follow"),
        (header(2, 3), "truncated"),
        (header(2, 3) + b"abcdefg", "trailing bytes: .*6 bytes, but .*more follow"),
        (b"<!DOCTYPE html>", "wrong magic number: it starts with b'<!DO'"),
        (header(2, code=0x0A) + b"ab", "unknown element type 0x0A .*0x08 uint8.*0x0E float64"),
        (b"\0\0\x08\xff" + b"\0" * 1020, "255 dimensions; expected at most 64"),
        (header(*[2**32 - 1] * 4), "asks for .*expected at most 4,294,967,296 bytes.*max_bytes"),
        (header(0, *[2**32 - 1] * 3), "expected at most 4,294,967,296 bytes"),
    ],
)
def test_a_file_that_lies_is_refused(save, contents, message):
    path = save(contents)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_the_limit_can_be_moved(save):
    path = save(header(3) + b"abc")
    assert len(read_idx(path, max_bytes=11)) == 3
    with pytest.raises(DataError, match=r"expected at most 10 bytes"):
        read_idx(path, max_bytes=10)


def test_a_header_takes_no_memory_for_what_the_file_cannot_hold(save):
    path = save(header(3 * 2**30) + b"abc")
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="truncated"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_compressed_file_takes_memory_only_for_what_arrives(tmp_path):
    path = tmp_path / "file.gz"  # 1 MB of noise could unpack to the 500 MB promised, but does not
    path.write_bytes(gzip.compress(header(500 * 10**6) + os.urandom(10**6)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"but only 1,000,000 follow"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_a_gzip_bomb_is_unpacked_no_further_than_its_header_says(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(header(3) + bytes(50 * 2**20)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="trailing bytes"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
    finally:
        tracemalloc.stop()


def test_a_truncated_gzip_stream_is_refused(tmp_path):
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(header(10_000) + os.urandom(10_000))[:-1_000])
    with pytest.raises(DataError, match="truncated: its gzip stream stops before its end"):
        read_idx(path)


@pytest.mark.parametrize("position", [12, 40, -6])  # in the deflate stream, and in the checksum
def test_a_corrupt_gzip_stream_is_refused(tmp_path, position):
    contents = bytearray(gzip.compress(header(10_000) + bytes(range(250)) * 40))
    contents[position] ^= 0xFF
    path = tmp_path / "file.gz"
    path.write_bytes(contents)
    with pytest.raises(DataError, match=f"{path.name} (is corrupt|is truncated|has )"):
        read_idx(path)


def test_rubbish_after_a_gzip_stream_is_refused(tmp_path):
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(header(3) + b"abc") + b"rubbish")
    with pytest.raises(DataError, match="corrupt: gzip says Not a gzipped file"):
        read_idx(path)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="is not there; expected an IDX file"):
        read_idx(tmp_path / "nothing")
    with pytest.raises(DataError, match="is a folder; expected an IDX file"):
        read_idx(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_rather_than_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="is no file"):
        read_idx(tmp_path / "pipe")


def test_a_dtype_that_idx_lacks_is_refused_with_a_way_out(tmp_path):
    with pytest.raises(DataError, match=r"cannot hold dtype int64; .*array\.astype"):
        write_idx(tmp_path / "file", np.arange(3))
    assert not (tmp_path / "file").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(DataError, match="cannot be written"):
        write_idx(tmp_path / "no such folder" / "file", np.zeros(3))


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(header(3) + b"abc")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        read_idx(path)
