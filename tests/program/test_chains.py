"""Chains of element-wise calls in one loop each give the bits of the calls."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from in_python import as_it_is, loops_in_python
from learning import learning_step

import tinygrad_fm as tg
from tinygrad_fm import fast, nn, optim

needs_numba = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="compiles chains where Numba is installed"
)
ROWS, COLUMNS = 5, 37  # more than a vector register holds, and some left over


def bits(arrays):
    """Of each array, with one NaN for all: which of two NaN comes out, nobody promises."""
    return [np.where(np.isnan(a), np.nan, a).tobytes() for a in map(np.asarray, arrays)]


def special(shape, dtype, seed):
    """Numbers of all sizes, with infinities, NaN, zeros of both signs, and ties between seeds."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * np.exp(rng.uniform(-60, 60, shape))
    values = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 1e-310, 1e-42, 3e38])
    with np.errstate(all="ignore"):
        return np.where(rng.random(shape) < 0.5, rng.choice(values, shape), x).astype(dtype)


OPERATIONS = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide,
    "maximum": np.maximum, "minimum": np.minimum,
    "relu": lambda a, b: np.maximum(a, 0) + b, "under": lambda a, b: np.minimum(0.0, a) - b,
    "number": lambda a, b: 0.1 * a - b / 3, "strong": lambda a, b: np.float32(0.1) * a + b,
    "negative": lambda a, b: -a * b, "absolute": lambda a, b: np.abs(a) - b,
    "square": lambda a, b: np.square(a) + b, "sqrt": lambda a, b: np.sqrt(np.abs(a)) * b,
    "greater": lambda a, b: (a > b) * a, "equal": lambda a, b: (a == b) * b,
    "compared": lambda a, b: (a <= 0) * b + (a != b) * a + (b > 0) * a + (a >= b) * b,
    "logic": lambda a, b: ((a > 0) & ~(b > 0) | (a < b)) * a,
    "named logic": lambda a, b: np.logical_or(a > b, np.logical_not(b > 0)) * b,
    "where": lambda a, b: np.where(a > b, a, 0.5) + np.where(b < 0, 1, b),
    "narrow": lambda a, b: a.astype(np.float32) * b, "wide": lambda a, b: a.astype(np.float64) + b,
    "whole": lambda a, b: a.astype(bool) * b, "copy": lambda a, b: np.copy(a) + b,
    "sum": lambda a, b: np.sum(a * b, axis=0) + a, "mean": lambda a, b: a - np.mean(b, axis=0),
    "variance": lambda a, b: np.var(a, axis=0, keepdims=True) * b,
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@needs_numba
def test_every_operation_has_numpys_bits_for_all_kinds_of_numbers(dtype, at_once):
    @tg.compile
    def step(x, y, row, column):
        found = []
        for operation in OPERATIONS.values():
            for a, b in ((x, y), (x, row), (column, y), (row, x)):
                found.append(operation(a, b) * 1.0)
        return found

    args = [(ROWS, COLUMNS)] * 2 + [(COLUMNS,), (ROWS, 1)]
    for call in range(4):
        given_ = [special(shape, dtype, 10 * call + i) for i, shape in enumerate(args)]
        with np.errstate(all="ignore"):
            expected = step.step(*map(tg.Tensor, given_))
            found = step(*given_)
        pairs = zip(expected, found, strict=True)
        names = [name for name in OPERATIONS for _ in range(4)]
        wrong = {n for n, (e, f) in zip(names, pairs, strict=True) if bits([e]) != bits([f])}
        assert wrong == set()
    assert " fused into " in step.explain()


def test_only_what_is_known_to_the_last_bit_is_in_a_loop():
    with loops_in_python():
        step = tg.compile(lambda x: np.tanh(x * 2 + 1) + np.exp(x) + np.sum(x, axis=1)[:, None])
        for _ in range(3):
            step(np.ones((ROWS, COLUMNS)))
    above, _, below = step.source.partition("def step")
    assert "* 2.0" in above
    for name in ("np.tanh(", "np.exp(", "np.add.reduce("):
        assert name in below
        assert name not in above


STEPS = st.lists(
    st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, 20), st.integers(0, 20)),
    min_size=1,
    max_size=12,
)


@given(STEPS, st.sampled_from([np.float32, np.float64]), st.sampled_from([1, 4]))
def test_random_chains_have_the_bits_of_the_calls(operations, dtype, rows):
    def step(x, row, column):
        pool = [x, row, column]
        for name, i, j in operations:
            pool.append(OPERATIONS[name](pool[i % len(pool)], pool[j % len(pool)]))
        return pool[3:]

    with loops_in_python():
        run = tg.compile(step)
        for call in range(4):
            shapes = [(rows, 3), 3, (rows, 1)]
            args = [special(shape, dtype, 3 * call + i) for i, shape in enumerate(shapes)]
            with np.errstate(all="ignore"):
                assert bits(run(*args)) == bits(step(*map(tg.Tensor, args)))


class Residual(nn.Module):
    def __init__(self):
        self.inner, self.out = nn.Linear(12, 12, rng=0), nn.Linear(12, 4, rng=1)
        self.scale = nn.Parameter(np.linspace(0.5, 1.5, 12, dtype=np.float32))

    def forward(self, x):
        return self.out(x * self.scale + nn.LeakyReLU(0.1)(self.inner(x)) * self.scale)


def network(*middle):
    return nn.Sequential(nn.Linear(12, 8, rng=0), *middle, nn.Linear(8, 4, rng=1))


NETWORKS = {
    "ReLU": lambda: network(nn.ReLU(), nn.Linear(8, 8, rng=2), nn.ReLU()),
    "batch norm": lambda: network(nn.BatchNorm1d(8), nn.LeakyReLU(), nn.Dropout(0.5, rng=3)),
    "layer norm": lambda: network(nn.LayerNorm(8), nn.GELU()),
    "residual": Residual,
}


def trained(make, compiled, clear=True):
    """Losses, gradients, parameters and buffers along some steps, and the step."""
    model = make()
    step = learning_step(model, optim.SGD(model.parameters(), 0.1, 0.9), clear)
    run = tg.compile(step) if compiled else step
    rng = np.random.default_rng(0)
    found = []
    for _ in range(6):
        x, y = rng.standard_normal((6, 12)).astype(np.float32), rng.integers(4, size=6)
        found.append(run(x, y).data)
        for _, p in (*model.named_parameters(), *model.named_buffers()):
            found += [p.data.copy()] + ([p.grad.data.copy()] if p.grad is not None else [])
    return bits(found), run


@needs_numba
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_learns_the_same_to_the_last_bit(name, at_once):
    expected, _ = trained(NETWORKS[name], compiled=False)
    found, step = trained(NETWORKS[name], compiled=True)
    assert found == expected
    assert " fused into " in step.explain()


@pytest.mark.parametrize("name", NETWORKS)
def test_loops_in_python_give_the_same_too(name):
    with loops_in_python():
        assert trained(NETWORKS[name], compiled=True)[0] == trained(NETWORKS[name], False)[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_that_add_up_from_call_to_call_are_the_same(name):
    """The sum is written where the gradient from before is read."""
    with loops_in_python():
        found, _ = trained(NETWORKS[name], compiled=True, clear=False)
    assert found == trained(NETWORKS[name], compiled=False, clear=False)[0]


def test_the_source_shows_a_function_with_loops_and_its_call():
    with loops_in_python():
        _, step = trained(NETWORKS["ReLU"], compiled=True)
    assert (
        """def chain_1(t1, p0_bias, buffer2):
    # Sequential > 0 (Linear): add
    # Sequential > 1 (ReLU): maximum
    for i in range(t1.shape[0]):
        for j in range(t1.shape[1]):
            t2 = t1[i, j] + p0_bias[j]
            t3 = np.float32(0.0) if t2 <= np.float32(0.0) else t2
            buffer2[i, j] = t3
"""
        in step.source
    )
    assert "    chain_1(t1, p0_bias, buffer2)\n" in step.source


def test_what_only_a_chain_needs_has_no_memory():
    def step(x):
        return np.tanh(((x + 1) * x - 2) * x + 3)

    with loops_in_python():
        run = tg.compile(step)
        sizes = []
        for _ in range(3):
            run(np.ones((64, 64)))
            sizes.append(run.program.bytes if run._newest else 0)
    assert len(run.program.plan.slots) == 1
    assert run.program.bytes == 64 * 64 * 8


def test_an_exported_program_has_no_loops(tmp_path):
    with loops_in_python():
        _, step = trained(NETWORKS["batch norm"], compiled=True)
    text = step.export(tmp_path / "step.py").read_text()
    assert "chain_1" in step.source
    assert "chain_1" not in text


def test_calls_with_an_effect_stay_in_their_order():
    total = tg.Tensor(np.zeros((3, 4)))

    def step(x):
        with tg.no_grad():
            before = total * 2.0 + x
            total[...] = total + x
            after = total * 2.0 + x
            total[0] = 0.0
        return before, after, total * 2.0 + x

    found = []
    for run in (step, tg.compile(step)):
        total[...] = 0.0
        with loops_in_python():
            results = [run(tg.Tensor(np.full((3, 4), float(k)))) for k in range(5)]
        found.append(bits([r.data for parts in results for r in parts]))
    assert found[0] == found[1]


def test_what_is_read_for_the_first_time_after_a_write_is_read_after_it():
    total = tg.Tensor(np.zeros((3, 4)))
    lower = total[1:]
    assert np.shares_memory(total._array, lower._array)

    def step(x, y):
        with tg.no_grad():
            total[...] = (total + x) * 2.0
            return (lower + y) * 2.0

    found = []
    for run in (step, tg.compile(step)):
        total[...] = 0.0
        with loops_in_python():
            args = [[tg.Tensor(np.full((n, 4), float(k))) for n in (3, 2)] for k in range(5)]
            found.append(bits([run(*pair).data for pair in args]))
    assert found[0] == found[1]


def test_an_array_whose_length_depends_on_numbers_is_in_no_loop():
    """The loops do not check lengths."""
    positive = tg.primitive(lambda x: x[x > 0], name="positive")
    with loops_in_python():
        step = tg.compile(lambda x: (np.exp((positive(x) + 1) * 2), np.exp((x + 1) * 2)))
        for _ in range(3):
            step(np.arange(4.0))
    assert "np.add(t1, 1" in step.source
    assert step.source.count("chain_1(") == 2
    assert "chain_2(" not in step.source


@needs_numba
def test_numpy_works_until_kernels_are_worth_their_compilation(at_once, monkeypatch):
    monkeypatch.delenv(fast.VARIABLE)
    monkeypatch.setattr(fast, "_left", 0)
    monkeypatch.setattr(fast, "COMPILING", 3000)
    step = tg.compile(lambda x: np.exp((x + 1) * x))
    fused = []
    for _ in range(8):
        step(np.ones((4, 4)))
        fused.append(step._newest is not None and bool(step.program.text.kernels))
    assert fused == [False] * 4 + [True] * 4  # 600 and 3 elements for each of the two calls


@needs_numba
def test_a_kernel_is_kept_on_disk_and_found_again(at_once, tmp_path):
    step = tg.compile(lambda x: np.exp((x + 1) * x))
    for _ in range(3):
        step(np.ones((4, 4)))
    (kernel,) = [k for _, k, _ in step.program.text.kernels.values()]
    assert kernel.cost() == 0  # asked to compile at once
    again = """
import numpy as np, tinygrad_fm as tg
from tinygrad_fm import fast
step = tg.compile(lambda x: np.exp((x + 1) * x))
for _ in range(3):
    step(np.ones((4, 4)))
(made,) = fast._kernels.values()
print(sum(made.stats.cache_hits.values()), sum(made.stats.cache_misses.values()))
"""
    found = subprocess.run([sys.executable, "-c", again], capture_output=True, text=True)
    assert found.stdout.split() == ["1", "0"], found.stderr


@needs_numba
def test_without_a_folder_kernels_stay_in_memory(at_once, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    step = tg.compile(lambda x: np.exp((x + 1) * x))
    results = [step(np.full((4, 4), 0.5)) for _ in range(4)]
    assert bits(results[1:]) == bits(results[:-1])
    assert " fused into " in step.explain()


@needs_numba
def test_arrays_of_the_other_byte_order_are_in_no_loop(at_once):
    step = tg.compile(lambda x, y: (x * 2 + 1, (y + 1) * 2))
    for _ in range(4):
        found = step(np.ones(3, np.dtype(float).newbyteorder()), np.ones(3))
        assert [list(f.data) for f in found] == [[3.0] * 3, [4.0] * 3]
    (_, kernel, _), *others = step.program.text.kernels.values()
    assert all(value.dtype.isnative for value in kernel.reads)
    assert not others


@needs_numba
def test_arguments_that_are_read_only_or_lie_oddly_are_taken(at_once):
    step = tg.compile(lambda x: np.exp((x + 1) * x))
    plain = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    odd = np.frombuffer(b"." + plain.tobytes(), np.float32, offset=1).reshape(3, 4)
    fixed = plain.copy()
    fixed.flags.writeable = False
    results = [step(x) for x in (plain, plain, plain, odd, fixed, np.asfortranarray(plain))]
    assert len(set(bits(results))) == 1


@needs_numba
def test_a_parameter_that_lies_in_another_order_or_has_another_length(at_once):
    bias = tg.Tensor(np.arange(4.0), requires_grad=True)
    step = tg.compile(lambda x: np.exp((x + bias) * x))
    x = np.linspace(0, 1, 12).reshape(3, 4)
    results = [step(x) for _ in range(3)]
    bias._array = np.arange(8.0).repeat(1)[::2] / 2
    results.append(step(x))
    assert len(set(bits(results))) == 1
    bias._array = np.arange(3.0)
    with pytest.raises(ValueError, match=r"of shape \(4,\) .* now has shape \(3,\)"):
        step(x)


def test_a_kernel_reads_as_it_runs():
    """What Numba compiles is what the source shows, but for names."""
    with loops_in_python():
        _, step = trained(NETWORKS["residual"], compiled=True)
    for text, kernel, arguments in step.program.text.kernels.values():
        plain = kernel.plain.partition("def ")[2].splitlines()[1:]
        shown = [line for line in text.splitlines()[1:] if "# " not in line]
        assert len(plain) == len(shown)
        assert len(arguments) == len(kernel.reads) + len(kernel.stores)
        assert callable(as_it_is(kernel.plain, ()))


def test_a_chain_that_cannot_be_compiled_is_left_to_numpy(monkeypatch):
    step = tg.compile(lambda x: np.exp((x + 1) * x))
    with loops_in_python():
        for _ in range(2):
            first = step(np.ones((3, 4)))
        monkeypatch.setattr("tinygrad_fm.program.kernels.Kernel.plain", "broken(")
        with pytest.warns(RuntimeWarning, match="goes on with NumPy's calls"):
            step(np.ones((3, 4)))
        assert bits([step(np.ones((3, 4)))]) == bits([first])
    assert not step.program.text.kernels
