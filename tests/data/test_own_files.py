"""One's own CSV files and image folders: what is read, and errors that name the place."""

import builtins
import gzip

import numpy as np
import pytest

from tinygrad_fm.data import DataError, from_csv, from_folder

HEADER = "label,a,b,c,d\n"
ROWS = "3,0,255,7,1\n0,1,2,3,4\n"
PIXELS = [[0, 255, 7, 1], [1, 2, 3, 4]]


@pytest.fixture
def csv(tmp_path):
    """csv(text) writes it and returns the path."""

    def write(text, name="my.csv"):
        path = tmp_path / name
        contents = text.encode("utf-8") if isinstance(text, str) else text
        path.write_bytes(gzip.compress(contents) if path.suffix == ".gz" else contents)
        return path

    return write


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (ROWS, {}),
        (HEADER + ROWS, {}),
        ("\ufeff" + HEADER + ROWS, {"label": "label"}),
        (HEADER + ROWS, {"header": True}),
        ("label,0,1,2,3\n" + ROWS, {}),  # names that are numbers, as pandas writes them
        (ROWS.replace("\n", "\r\n\r\n"), {"header": False}),
        (ROWS.replace(",", ";"), {"delimiter": ";"}),
        ("0,255,7,1,3\n1,2,3,4,0", {"label": -1}),
        ('"a","b","y","c","d"\n0,255,"3",7,1\n1,2,0,3,4\n', {"label": "y"}),
    ],
)
def test_a_csv_file_is_images_and_labels(csv, text, options):
    images, labels = from_csv(csv(text), **options)
    np.testing.assert_array_equal(images, np.array(PIXELS, np.uint8), strict=True)
    np.testing.assert_array_equal(labels, np.array([3, 0]), strict=True)


def test_a_compressed_csv_file_with_a_shape(csv):
    images, _ = from_csv(csv(ROWS, "my.csv.gz"), shape=(2, 2))
    assert images.shape == (2, 2, 2)


def test_floating_pixels(csv):
    images, labels = from_csv(csv("1,0.5,-1e3\n"), dtype=np.float32)
    np.testing.assert_array_equal(images, np.array([[0.5, -1e3]], np.float32), strict=True)
    assert list(labels) == [1]


def test_many_lines_are_read_in_parts(csv):
    count = 4_100
    images, labels = from_csv(csv("".join(f"{n},{n % 256}\n" for n in range(count))))
    np.testing.assert_array_equal(labels, np.arange(count))
    np.testing.assert_array_equal(images[:, 0], np.arange(count) % 256)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (HEADER + ROWS + "1,2,3\n", {}, "line 4: 3 columns; expected 5, as in the first line"),
        (HEADER + "1,2,3\n", {}, "line 2: 3 columns; expected 5"),
        (HEADER + "1,0,x,0,0\n", {}, r"line 2, column 3 \(b\): 'x'; expected a number"),
        (ROWS + "\n1,0,,0,0\n", {}, "line 4, column 3: ''; expected a number"),
        (ROWS + "1,0,nan,0,0\n", {}, "line 3, column 3: nan; expected a finite number"),
        (ROWS + "1,0,inf,0,0\n", {"dtype": float}, "line 3, column 3: inf; expected a finite"),
        (ROWS + "1,0,256,0,0\n", {}, "line 3, column 3: 256; expected a pixel: .*0 to 255"),
        (ROWS + "1,0,0.5,0,0\n", {}, "column 3: 0.5; expected a pixel.*dtype=np.float32"),
        ("1,1e300\n", {"dtype": np.float32}, r"1e\+300; expected a number that float32 can hold"),
        (ROWS + "-1,0,0,0,0\n", {}, "line 3, column 1: -1; expected a label: .*from 0"),
        (ROWS + "1.5,0,0,0,0\n", {}, "column 1: 1.5; expected a label"),
        (ROWS, {"classes": 3}, "line 1, column 1: 3; expected a label: .*from 0 to 2"),
        ("x,1\n" + "y,1\n", {}, "line 2, column 1.*'y'; expected a number"),
        ("", {}, "is empty"),
        ("\n \n", {}, "is empty"),
        (HEADER, {}, "has no examples"),
        ("1\n2\n", {}, "has one column"),
        (HEADER + ROWS, {"label": "y"}, r"no column named 'y' .*\(label, a, b, c, d\)"),
        (ROWS, {"label": 5}, "has 5 columns; label=5 is none of them"),
        (ROWS, {"shape": (28, 28)}, r"has 4 pixels in a line; shape=\(28, 28\) needs 784"),
        (ROWS, {"dtype": int}, "to int64; expected np.uint8 or a floating dtype"),
        (b"\xff\xfe1,2\n", {}, "no text in UTF-8"),
    ],
)
def test_a_csv_error_names_line_and_column(csv, text, options, message):
    with pytest.raises(DataError, match=message):
        from_csv(csv(text), **options)


def test_a_csv_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        from_csv(tmp_path / "none.csv")


GREY = np.arange(6, dtype=np.uint8).reshape(2, 3)
COLOUR = np.arange(18, dtype=np.uint8).reshape(3, 2, 3)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, image)
    elif path.suffix == ".png":
        from PIL import Image

        Image.fromarray(image if image.ndim == 2 else image.transpose(1, 2, 0)).save(path)
    else:
        magic = b"P5" if image.ndim == 2 else b"P6"
        height, width = image.shape[-2:]
        pixels = image if image.ndim == 2 else image.transpose(1, 2, 0)
        header = magic + b" # a comment\n%d\t%d\n# another\n255\n" % (width, height)
        path.write_bytes(header + pixels.tobytes())
    return path


@pytest.mark.parametrize(
    ("suffix", "image"),
    [
        (".npy", GREY),
        (".npy", COLOUR),
        (".npy", GREY.astype(np.float32)),
        (".pgm", GREY),
        (".ppm", COLOUR),
        (".png", GREY),
        (".png", COLOUR),
    ],
)
def test_a_folder_of_each_class(tmp_path, suffix, image):
    if suffix == ".png":
        pytest.importorskip("PIL")
    save(tmp_path / "shoe" / f"1{suffix}", image)
    save(tmp_path / "bag" / f"b{suffix}", image + 1)
    save(tmp_path / "bag" / f"a{suffix}", image + 2)
    (tmp_path / "bag" / ".hidden").write_bytes(b"")
    (tmp_path / "README").write_bytes(b"")
    images, labels, names = from_folder(tmp_path)
    np.testing.assert_array_equal(images, np.stack([image + 2, image + 1, image]), strict=True)
    np.testing.assert_array_equal(labels, np.array([0, 0, 1]), strict=True)
    assert names == ("bag", "shoe")


def test_given_class_names_keep_their_numbers(tmp_path):
    save(tmp_path / "shoe" / "1.npy", GREY)
    _, labels, names = from_folder(tmp_path, class_names=["bag", "shoe"])
    assert (list(labels), names) == ([1], ("bag", "shoe"))
    with pytest.raises(DataError, match="has the folder 'shoe'; expected only class names: 'bag'"):
        from_folder(tmp_path, class_names=["bag"])


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        (
            "9.npy",
            np.zeros((3, 3), np.uint8),
            r"uint8 of shape \(3, 3\), but 2 of the 3 .*\(2, 3\)",
        ),
        ("9.npy", np.zeros((2, 3), np.float32), "is float32 .*but 2 of the 3 images are uint8"),
        ("9.npy", np.full((2, 3), np.nan), r"pixels that contain nan at index \(0, 0\)"),
        ("9.npy", np.zeros(3, np.uint8), r"is uint8 of shape \(3,\); expected uint8 or floating"),
        ("9.npy", np.zeros((2, 3), int), "is int64 of shape"),
        ("9.npy", np.zeros((0, 3), np.uint8), "at least one pixel"),
        ("9.npy", np.array([None]), "no .npy file of numbers"),
        ("9.npy", b"not a file", "no .npy file of numbers"),
        ("9.npy", b"", "no .npy file of numbers"),
        ("9.jpg", b"", "of the unknown kind '.jpg'; expected images: .npy, .pgm, .ppm, .png"),
        ("9.pgm", b"P2 3 2 255\n1 2 3 4 5 6", "no header of a binary PGM or PPM file.*P2 3 2"),
        ("9.pgm", b"P5 3 2", "no header"),
        ("9.pgm", b"P5 3 -2 255\n", "no header"),
        ("9.pgm", b"P5 3 2 65535\n" + bytes(12), "has the maximum 65535; expected 255"),
        ("9.pgm", b"P5 3 2 255\n12345", "has 5 bytes of pixels; expected 6 for 3x2"),
        ("9.pgm", b"P5 3 2 255\n1234567", "has 7 bytes of pixels"),
        ("9.png", b"not a png", "no PNG that Pillow can read"),
    ],
)
def test_a_file_that_does_not_fit_is_named(tmp_path, name, contents, message):
    if name.endswith(".png"):
        pytest.importorskip("PIL")
    save(tmp_path / "a" / "1.npy", GREY)
    save(tmp_path / "a" / "2.npy", GREY)
    odd = tmp_path / "b" / name
    odd.parent.mkdir()
    if isinstance(contents, bytes):
        odd.write_bytes(contents)
    else:
        np.save(odd, contents)
    with pytest.raises(DataError, match=message) as caught:
        from_folder(tmp_path)
    assert str(odd) in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "readable"),
    [("1", True), ("P", True), ("RGBA", False), ("LA", False), ("I;16", False)],
)
def test_png_modes(tmp_path, mode, readable):
    image = pytest.importorskip("PIL.Image").new(mode, (3, 2))
    (tmp_path / "a").mkdir()
    image.save(tmp_path / "a" / "1.png")
    if readable:
        images, _, _ = from_folder(tmp_path)
        assert images.shape == ((1, 2, 3) if mode == "1" else (1, 3, 2, 3))
    else:
        with pytest.raises(DataError, match="expected 8-bit grey"):
            from_folder(tmp_path)


def test_without_pillow_the_extra_is_named(tmp_path, monkeypatch):
    def refuse(name, *rest):
        if name.startswith("PIL"):
            raise ImportError(name)
        return real(name, *rest)

    real = builtins.__import__
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(b"")
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r'needs Pillow: pip install "tinygrad_fm\[images\]"'):
        from_folder(tmp_path)


def test_a_folder_without_classes_or_images(tmp_path):
    with pytest.raises(DataError, match="is no folder"):
        from_folder(tmp_path / "none")
    with pytest.raises(DataError, match="has no folders; expected one for each class"):
        from_folder(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty has no images"):
        from_folder(tmp_path)
    (tmp_path / "empty" / "deeper.png").mkdir()
    with pytest.raises(DataError, match="png is a folder"):
        from_folder(tmp_path)
