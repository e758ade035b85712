"""What a program shows of itself: its source, an explanation, and a script for NumPy alone."""

import importlib
import json
import subprocess
import sys

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import nn, optim
from tinygrad_fm.program.functions import ExportError

OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: optim.Adam(p, lr=0.01),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01),
}


def training_step(make_optimizer=OPTIMIZERS["momentum"]):
    model = nn.Sequential(
        nn.Linear(12, 8, rng=0), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3, rng=1),
        nn.Linear(8, 4, rng=2),
    )  # fmt: skip
    optimizer = make_optimizer(model.parameters())
    loss_of = nn.CrossEntropyLoss()

    @tg.compile
    def step(images, labels):
        optimizer.zero_grad()
        loss = loss_of(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    return step


def batches(n):
    rng = np.random.default_rng(0)
    for _ in range(n):
        yield rng.standard_normal((6, 12)).astype(np.float32), rng.integers(4, size=6)


def test_the_source_is_python_with_the_names_of_modules_and_parameters():
    step = training_step()
    for batch in batches(2):
        step(*batch)
    compile(step.source, "source", "exec")
    assert "def step(images, labels):" in step.source
    assert (
        "# Sequential > 0 (Linear)\n    t1 = np.dot(images, p0_weight, out=buffer1)" in step.source
    )
    assert "# backward of Sequential > 4 (Linear)" in step.source
    assert "out=d_p0_weight)" in step.source
    assert "update_by_SGD()" in step.source


@pytest.mark.parametrize("method", ["im2col", "dft", "tiles"])
def test_convolutions_write_into_buffers_and_their_gradients_where_the_optimizer_reads(method):
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, method=method, rng=0), nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 3, padding=1, method=method, rng=1),
    )  # fmt: skip
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    @tg.compile
    def step(images):
        optimizer.zero_grad()
        loss = (model(images) ** 2).sum()
        loss.backward()
        optimizer.step()
        return loss

    for seed in range(3):
        step(np.random.default_rng(seed).standard_normal((5, 2, 8, 8)).astype(np.float32))
    calls = [line for line in step.source.splitlines() if " = conv2d" in line or "unpool(" in line]
    assert len(calls) == 6
    assert all("out=" in line for line in calls)
    assert sum("out=d_p" in line for line in calls) == 2


def test_a_copy_into_another_shape_goes_into_a_buffer():
    step = tg.compile(lambda x: (x.transpose((1, 0, 2)).reshape((3, 10)) + 1).sum())
    x = np.random.default_rng(0).standard_normal((2, 3, 5))
    for _ in range(3):
        found = step(x)
    assert "np.copyto(buffer1.reshape((3, 2, 5)), " in step.source
    assert found.item() == (x.transpose(1, 0, 2).reshape(3, 10) + 1).sum()


def test_the_same_step_has_the_same_source():
    sources = []
    for _ in range(2):
        step = training_step()
        for batch in batches(2):
            step(*batch)
        sources.append(step.source)
    assert sources[0] == sources[1]


def test_the_explanation_counts_what_there_is():
    step = training_step()
    for batch in batches(2):
        step(*batch)
    text = step.explain()
    assert text.startswith("step, compiled for images 6 × 12 float32, labels 6 int64")
    for words in (
        "operations traced",
        "without sharing",
        "6 gradients written straight into an optimizer's buffers",
        "FLOP a call",
        "draw dropout_mask (Sequential > 3 (Dropout)",
        "check check_classes",
        "update by SGD",
    ):
        assert words in text


def test_what_is_computed_twice_or_for_nobody_is_left_out():
    def step(x):
        np.exp(x)
        return np.tanh(x) * 2 + np.tanh(x) * 3 + x * 2.0 + x * 2

    compiled = tg.compile(step)
    for _ in range(2):
        compiled(np.ones(3))
    assert compiled.source.count("np.tanh") == 1
    assert "np.exp" not in compiled.source
    assert compiled.source.count("np.multiply") == 4  # 2.0 is not 2: an integer keeps bytes
    assert "1 computed twice, 1 not used" in compiled.explain()


def test_a_wide_array_in_a_narrow_program_is_reported():
    step = tg.compile(lambda x: np.sum(x * np.ones(3)))
    for _ in range(2):
        step(np.ones((2, 3), np.float32))
    assert "float64 arrays in a float32 program:\n    multiply (test_source.py:" in step.explain()


def test_before_the_second_call_there_is_nothing_to_show():
    step = training_step()
    with pytest.raises(ValueError, match="no program yet"):
        print(step.source)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_exported_step_needs_numpy_alone_and_goes_on_with_the_same_numbers(tmp_path, optimizer):
    step = training_step(OPTIMIZERS[optimizer])
    for batch in batches(3):
        step(*batch)
    assert step.export(tmp_path / "training.py") == tmp_path / "training.py"
    expected = [step(*batch).item() for batch in batches(4)]
    np.savez(tmp_path / "batches.npz", *[a for batch in batches(4) for a in batch])
    script = """
import json, sys
import numpy as np
import training
given = np.load("batches.npz")
arrays = [given[name] for name in given.files]
losses = [float(training.step(*pair)[0]) for pair in zip(arrays[::2], arrays[1::2])]
assert not any(name.startswith("tinygrad_fm") for name in sys.modules)
print(json.dumps(losses))
"""
    run = [sys.executable, "-c", script]
    found = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == expected


def test_functions_with_sources_of_their_own_are_exported_with_what_they_refer_to(tmp_path):
    step = tg.compile(lambda x, i: (np.maximum(x, 0.5)[i], tg.functional.max_pool2d(x, 2)))
    given = np.arange(16.0).reshape(1, 1, 4, 4), np.array([0, 0])
    for _ in range(2):
        expected = step(*given)
    path = step.export(tmp_path / "pooling.py")
    names = {"__file__": str(path), "__name__": "pooling"}
    exec(path.read_text(), names)
    for a, b in zip(names["step"](*given), expected, strict=True):
        np.testing.assert_array_equal(a, b.data)


def test_an_exported_script_tells_apart_what_two_files_call_alike(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for module, factor in (("file_of_two", 2.0), ("file_of_five", 5.0)):
        (tmp_path / f"{module}.py").write_text(
            "import numpy as np\nimport tinygrad_fm as tg\n"
            f"FACTOR = {factor}\n"
            "def _groups(x):\n    return np.asarray(x) * FACTOR\n"
            "def plan(x):\n    return _groups(x)\n"
            "memory = np.abs\n"
            "def times(x):\n    return plan(x) + 0 * memory(x)\n"
            "scaled = tg.primitive(times, lambda g, _y, _x: g * FACTOR)\n"
        )
    two, five = (importlib.import_module(name) for name in ("file_of_two", "file_of_five"))
    kernels = np.ones((1, 1, 2, 2))

    def step(x):
        return two.scaled(x) + five.scaled(x), tg.functional.conv2d(x, kernels)

    compiled, x = tg.compile(step), np.arange(16.0).reshape(1, 1, 4, 4)
    for _ in range(3):
        expected = compiled(x)
    path = compiled.export(tmp_path / "both.py")
    names = {"__file__": str(path), "__name__": "both"}
    exec(path.read_text(), names)
    for a, b in zip(names["step"](x), expected, strict=True):
        np.testing.assert_allclose(a, b.data, rtol=1e-14)


def test_parameters_may_be_called_as_arguments_of_numpys_own_functions(tmp_path):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.file, self.allow_pickle = nn.Parameter(np.ones(3)), nn.Parameter(np.ones(3))

        def forward(self, x):
            return x * self.file + self.allow_pickle

    step, x = tg.compile(Named()), np.arange(3.0)
    for _ in range(3):
        expected = step(x)
    path = step.export(tmp_path / "named.py")
    names = {"__file__": str(path), "__name__": "named"}
    exec(path.read_text(), names)
    (found,) = next(f for n, f in names.items() if n == step.program.name)(x)
    np.testing.assert_array_equal(found, expected.data)


def exported(step, folder):
    """The function in the script of a step."""
    path = step.export(folder / "script.py")
    names = {"__file__": str(path), "__name__": "script"}
    exec(path.read_text(), names)
    return names["step"]


def trained():
    """A compiled step after three calls, its optimizer, and its only parameter."""
    w = tg.Tensor(np.ones(3), requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)

    @tg.compile
    def step(x):
        optimizer.zero_grad()
        loss = (w * x).sum()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(3):
        step(np.ones(3))
    return step, optimizer, w


def test_a_setting_that_needs_new_state_is_exported_with_it(tmp_path):
    step, optimizer, _ = trained()
    optimizer.groups[0].momentum = 0.9
    script = exported(step, tmp_path)
    expected = [step(np.ones(3)).item() for _ in range(3)]
    assert [script(np.ones(3))[0] for _ in range(3)] == expected
    optimizer.groups[0].momentum = 5
    with pytest.raises(ValueError, match=r"momentum .*below 1, not 5"):
        step.export(tmp_path / "script.py")


def test_what_another_optimizer_did_since_is_exported(tmp_path):
    step, _, w = trained()
    other = optim.SGD([w], lr=1.0)
    w.grad = tg.Tensor(np.ones(3))
    other.step()
    assert exported(step, tmp_path)(np.ones(3))[0] == step(np.ones(3)).item()


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (np.ones((5, 4)), r"\(5, 4\) and float64"),
        (np.ones((2, 4), np.float32), r"\(2, 4\) and float32"),
        (np.ones((2, 4), ">f8"), r"\(2, 4\) and >f8"),
        ([[1.0] * 4] * 2, r"\(2, 4\) and list"),
    ],
)
def test_an_exported_script_says_for_which_arguments_it_is(tmp_path, given, found):
    def step(x, refuse_other):
        return np.tanh(x) + np.sum(refuse_other)

    compiled = tg.compile(step)
    args = np.ones((2, 4)), np.ones(3)
    for _ in range(2):
        expected = compiled(*args)
    script = exported(compiled, tmp_path)
    np.testing.assert_array_equal(script(*args)[0], expected.data)
    said = rf"step is made for x of shape \(2, 4\) and float64, not {found}; export it anew"
    with pytest.raises(ValueError, match=said):
        script(given, np.ones(3))


def test_an_export_into_a_folder_that_is_not_there_names_it(tmp_path):
    step = tg.compile(lambda x: x + 1)
    for _ in range(2):
        step(np.ones(3))
    path = tmp_path / "none" / "step.py"
    with pytest.raises(FileNotFoundError, match=r"step\.py'.* no folder .*none'; make it before"):
        step.export(path)


def test_what_has_no_source_is_refused(tmp_path):
    made = eval("lambda x: x + float(x[0])")
    own = tg.primitive(made, lambda g, _y, _x: g, name="own")
    step = tg.compile(lambda x: own(x))
    for _ in range(2):
        step(np.ones(3))
    with pytest.raises(ExportError, match="source is not found"):
        step.export(tmp_path / "a.py")
    with pytest.raises(ValueError, match=r"ends in \.py"):
        step.export(tmp_path / "a.txt")
