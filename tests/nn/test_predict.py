"""model.predict: the outputs for many examples, in bounded memory, with nothing else changed."""

import tracemalloc

import numpy as np
import pytest

from tinygrad_fm import Tensor, data, is_grad_enabled, nn

ROWS = np.random.default_rng(0).normal(size=(23, 4)).astype(np.float32)


@pytest.fixture
def model():
    nn.init.seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 3))


def expected(model, x):
    model.eval()
    found = model(x).data
    model.train()
    return found


@pytest.mark.parametrize("batch_size", [1, 5, 23, 1000])
def test_it_is_the_forward_pass_in_evaluation_mode(model, batch_size):
    found = model.predict(ROWS, batch_size)
    np.testing.assert_allclose(found, expected(model, ROWS), rtol=1e-5, atol=1e-6)
    assert type(found) is np.ndarray
    assert found.dtype == np.float32


@pytest.mark.parametrize("batch_size", [1, 5, 22, 23])
def test_without_matrix_products_the_bits_do_not_depend_on_the_batches(batch_size):
    model = nn.Sequential(nn.Tanh(), nn.LayerNorm(4))
    np.testing.assert_array_equal(model.predict(ROWS, batch_size), model(ROWS).data)


def test_a_tensor_a_memmap_a_loader_and_a_generator_give_the_same(model, tmp_path):
    wanted = model.predict(ROWS, 5)
    np.save(tmp_path / "rows.npy", ROWS)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    loader = data.Loader(ROWS, np.zeros(23, int), batch_size=5, shuffle=False)
    batches = (ROWS[i : i + 5] for i in range(0, 23, 5))
    tensor = Tensor(ROWS, requires_grad=True)
    for x in (tensor, tensor * 1.0, mapped, loader, batches):
        np.testing.assert_array_equal(model.predict(x, 5), wanted)


def test_modes_and_recording_are_put_back_even_after_an_error(model):
    model[0].eval()
    before = [m.training for m in model.modules()]
    model.predict(ROWS)
    with pytest.raises(ValueError, match="its last axis must be 4"):
        model.predict(ROWS[:, :3])
    assert [m.training for m in model.modules()] == before
    assert is_grad_enabled()


def test_running_statistics_and_gradients_stay(model):
    state = model.state_dict()
    model.predict(ROWS)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, state[name])
    assert all(p.grad is None for p in model.parameters())


def test_a_stream_gives_one_batch_after_the_other(model):
    batches = list(model.predict(ROWS, 10, stream=True))
    assert [len(batch) for batch in batches] == [10, 10, 3]
    np.testing.assert_array_equal(np.concatenate(batches), model.predict(ROWS, 10))


def test_between_the_batches_of_a_stream_the_model_is_as_it_was(model):
    for _ in model.predict(ROWS, 10, stream=True):
        assert all(m.training for m in model.modules())
        assert is_grad_enabled()


class Several(nn.Module):
    def forward(self, x):
        return {"sum": x.sum(axis=1), "pair": (x * 2, np.argmax(x, axis=1))}


def test_several_results_are_arrays_in_the_same_containers():
    found = Several().predict(ROWS, 5)
    np.testing.assert_array_equal(found["sum"], ROWS.sum(axis=1))
    np.testing.assert_array_equal(found["pair"][0], ROWS * 2)
    np.testing.assert_array_equal(found["pair"][1], ROWS.argmax(axis=1))


def test_no_examples_give_no_rows(model):
    assert model.predict(ROWS[:0]).shape == (0, 3)


def test_the_result_is_memory_of_its_own():
    found = nn.Identity().predict(ROWS)
    assert not np.shares_memory(found, ROWS)
    assert found.flags.owndata


@pytest.mark.parametrize("kind", [np.asarray, Tensor, lambda x: [x[:10], x[10:]]])
def test_a_stream_gives_no_views_of_the_examples(kind):
    x = ROWS.copy()
    model = nn.Sequential(Pair())
    for same, part, new in model.predict(kind(x), 10, stream=True):
        for output in (same, part, new):
            assert not np.shares_memory(output, x)
            output[...] = -1
    np.testing.assert_array_equal(x, ROWS)


class Pair(nn.Module):
    def forward(self, x):
        return x, x[:, 1:], x * 2


def in_batches(x):
    return (x[i : i + 100] for i in range(0, len(x), 100))


@pytest.mark.parametrize("kind", [np.asarray, in_batches])
def test_memory_is_bounded_by_the_result_and_a_few_batches(kind):
    model = nn.Sequential(nn.Linear(10, 500), nn.Tanh(), nn.Linear(500, 2))
    x = np.ones((20_000, 10), np.float32)
    model.predict(x[:100])
    batch = 100 * 500 * 4
    tracemalloc.start()
    found = model.predict(kind(x), 100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * found.nbytes + 4 * batch  # 40 MB for all at once


class Summing(nn.Module):
    def forward(self, x):
        return x.sum()


class Ragged(nn.Module):
    def forward(self, x):
        return x[:, : len(x)]


@pytest.mark.parametrize(
    ("model", "x", "options", "error", "message"),
    [
        (Summing(), ROWS, {}, ValueError, r"gave float32 \(\) for 23 examples; .* \(23,\)"),
        (Ragged(), ROWS, {"batch_size": 20}, ValueError, r"float32 \(3, 3\) for 3 examples"),
        (Summing(), ROWS, {"batch_size": 0}, ValueError, "from 1, not 0"),
        (Summing(), ROWS, {"batch_size": 2.5}, ValueError, "from 1, not 2.5"),
        (Summing(), ROWS, {"batch_size": 0, "stream": True}, ValueError, "from 1, not 0"),
        (Summing(), [], {}, ValueError, r"got no batches: \[\]"),
        (Summing(), [[1.0, 2.0, 3.0]], {}, TypeError, r"batch 1 is .*np.asarray\(x\)"),
        (Summing(), 3.0, {}, TypeError, "batches of them, not 3.0"),
        (Summing(), {"x": ROWS}, {}, TypeError, "batches of them, not {'x'"),
        (Summing(), np.float32(1), {}, TypeError, "batches of them, not"),
    ],
)
def test_predict_refuses(model, x, options, error, message):
    with pytest.raises(error, match=message):
        model.predict(x, **options)


def test_results_that_differ_between_batches_can_be_streamed():
    assert [b.shape for b in Ragged().predict(ROWS, 20, stream=True)] == [(20, 4), (3, 3)]
