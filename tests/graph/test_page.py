"""The page in a real browser, opened from disk: what a person clicks on, and what then happens."""

import json
import shutil

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import Tensor, functional, nn
from tinygrad_fm.graph import Frame, find_renderer

selenium = pytest.importorskip("selenium.webdriver", reason="needs the group `browser`")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromium-driver"),
    pytest.mark.skipif(find_renderer() is None, reason="needs Graphviz or the extra `render`"),
    # of selenium's own process handling
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
# a browser in a container: no sandbox of its own, no talk with its maker's servers
FLAGS = """--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run
--disable-background-networking --disable-component-update --disable-sync
--window-size=1400,900""".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = selenium.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(DRIVER))
    yield driver
    driver.quit()


class Block(nn.Module):
    def __init__(self, seed):
        self.linear = nn.Linear(4, 4, rng=seed)

    def forward(self, x):
        return x + functional.gelu(self.linear(x))


def mlp_graph(**options):
    model = nn.Sequential(nn.Linear(6, 4, rng=0), nn.ReLU(), nn.Linear(4, 3, rng=1))
    criterion = nn.CrossEntropyLoss()
    x = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)
    return tg.draw(lambda x: criterion(model(x), np.arange(5) % 3), x, values=True, **options)


def deep_graph():
    model = nn.Sequential(nn.Linear(6, 4, rng=0), *[Block(i) for i in range(12)])
    return tg.draw(model, np.ones((5, 6), np.float32))


class Page:
    """A page that is open in the browser."""

    def __init__(self, browser, path):
        self.browser = browser
        browser.get(path.as_uri())

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def shown(self):
        found = self.run("return [...document.querySelectorAll('.node')].map(n => n.dataset.key)")
        return sorted(found)

    def picture(self):
        return self.run("return document.getElementById('world').innerHTML")

    def texts(self):
        return self.run("return [...document.querySelectorAll('.node')].map(n => n.textContent)")

    def set(self, identifier, value, event="input"):
        self.run(
            "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
            "e.dispatchEvent(new Event(arguments[2], {bubbles: true}))",
            identifier, value, event,
        )  # fmt: skip

    def click(self, selector, event="click"):
        self.run(
            "document.querySelector(arguments[0])"
            ".dispatchEvent(new MouseEvent(arguments[1], {bubbles: true}))",
            selector, event,
        )  # fmt: skip

    def fold(self, title):
        self.run(
            "[...document.querySelectorAll('.handle')]"
            ".find(h => h.textContent.includes(arguments[0]))"
            ".dispatchEvent(new MouseEvent('click', {bubbles: true}))",
            title,
        )

    def unfold(self, title):
        self.run(
            "[...document.querySelectorAll('.node')]"
            ".find(n => n.textContent.includes(arguments[0]))"
            ".dispatchEvent(new MouseEvent('dblclick', {bubbles: true}))",
            title,
        )

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0]).textContent", selector)


@pytest.fixture
def open_page(browser, tmp_path):
    def open_one(graph):
        for kind in ("browser", "performance"):
            browser.get_log(kind)
        return Page(browser, graph.save(tmp_path / "graph.html"))

    yield open_one
    # after whatever the test did: nothing in the console, and nothing asked of the network
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in urls if not url.startswith(("file:", "data:", "chrome:"))] == []


def test_it_shows_every_node_of_the_model(open_page):
    graph = mlp_graph()
    page = open_page(graph)
    assert page.shown() == sorted(node.key for node in graph.nodes)
    assert len(page.run("return document.querySelectorAll('.line')")) == len(graph.edges)
    assert page.text("#panel").startswith("Graph")


def test_folding_changes_the_picture_and_unfolding_restores_it(open_page):
    page = open_page(mlp_graph())
    before, keys = page.picture(), page.shown()
    page.fold("0 (Linear)")
    assert len(page.shown()) == len(keys) - 2  # weight, bias and product became one
    assert any("0 (Linear)" in text for text in page.texts())
    page.unfold("0 (Linear)")
    assert page.picture() == before


def test_depth_folds_all_modules(open_page):
    page = open_page(mlp_graph())
    page.set("depth", 0)
    assert len(page.shown()) == 3  # the input, the model, the loss
    page.set("depth", 2)
    assert len(page.shown()) == len(mlp_graph().nodes)


def test_repeats_begin_folded_and_open_in_steps(open_page):
    page = open_page(deep_graph())
    assert any("Block × 12" in text for text in page.texts())
    page.unfold("Block × 12")
    assert sum("(Block)" in text for text in page.texts()) == 12
    page.unfold("7 (Block)")
    assert any("7.linear.weight" in text for text in page.texts())


def test_search_counts_marks_and_opens(open_page):
    page = open_page(mlp_graph())
    page.set("search", "weight")
    assert page.text("#found") == "2 found"
    assert len(page.run("return document.querySelectorAll('.node.hit')")) == 2
    page = open_page(deep_graph())
    page.set("search", "5.linear.bias")
    assert page.text("#found") == "1 found"
    page.run(
        "document.getElementById('search')"
        ".dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true}))"
    )
    assert page.text("#panel h2") == "5.linear.bias"
    assert len(page.run("return document.querySelectorAll('.node.chosen')")) == 1


def test_search_opens_as_much_as_the_file_holds(open_page):
    class Branches(nn.Module):
        def __init__(self):
            self.parts = {name: nn.Sequential(*map(Block, range(2))) for name in "abcdefgh"}

        def forward(self, x):
            for scale, part in enumerate(self.parts.values(), 2):
                x = np.tanh(part(x)) / scale
            return x

    model = nn.Sequential(nn.Linear(6, 4, rng=0), *[Branches() for _ in range(12)])
    page = open_page(tg.draw(model, np.ones((5, 6), np.float32)))
    page.set("search", "8.parts.g.1.linear.weight")
    assert page.text("#found") == "1 found"
    page.run(
        "document.getElementById('search')"
        ".dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true}))"
    )
    assert "this is what it is in" in page.text("#message")
    assert page.text("#panel h2") == "1 (Block)"  # two levels below what the page begins with
    assert len(page.run("return document.querySelectorAll('.node.chosen')")) == 1


def test_heat_changes_colours_and_legend(open_page):
    page = open_page(mlp_graph())
    colours = "return [...document.querySelectorAll('.box')].map(b => b.getAttribute('fill'))"
    plain, legend = page.run(colours), page.text("#legend")
    assert "parameter" in legend
    for scale, unit in (("flops", "FLOP"), ("kept", "B"), ("seconds", "s"), ("gradient", "")):
        page.set("heat", scale, "change")
        assert page.run(colours) != plain
        assert page.text("#legend") != legend
        assert unit in page.text("#legend .ends")
    page.set("heat", "", "change")
    assert page.run(colours) == plain
    assert page.text("#legend") == legend


def test_the_path_from_a_parameter_dims_the_rest(open_page):
    graph = mlp_graph()
    page = open_page(graph)
    first = next(node for node in graph.nodes if node.label == "0.weight")
    page.set("path", first.key, "change")
    dimmed = page.run("return [...document.querySelectorAll('.node.dim')].map(n => n.textContent)")
    assert len(dimmed) == len(graph.nodes) - 6  # weight, linear, relu, linear, log_softmax, loss
    assert any("2.weight" in text for text in dimmed)
    assert len(page.run("return document.querySelectorAll('.line.on')")) == 5


def test_a_click_shows_the_facts(open_page):
    graph = mlp_graph()
    page = open_page(graph)
    relu = next(node for node in graph.nodes if node.label == "relu")
    page.click(f"[data-key={relu.key}]")
    panel = page.text("#panel")
    for fact in ("1 (ReLU)", "5 × 4", "float32", "flows through", "Values", "Gradient", "Used by"):
        assert fact in panel
    assert len(page.run("return document.querySelectorAll('.histogram')")) == 2


def test_the_slider_goes_through_the_steps(open_page):
    graph = mlp_graph()
    value = graph.nodes[4].value
    dead = {4: type(value)(**{**value.__dict__, "dead": 1.0, "mean": 0.0})}
    graph.frames = [Frame(1, {4: value}, {}), Frame(200, dead, {})]
    page = open_page(graph)
    assert page.text("#step-value") == "200"
    assert any("! 100% dead" in text for text in page.texts())
    page.set("step", 0)
    assert page.text("#step-value") == "1"
    assert not any("! 100% dead" in text for text in page.texts())


def test_a_failure_is_said(open_page):
    model = nn.Sequential(nn.Linear(6, 4, rng=0), nn.Linear(3, 2, rng=1))
    page = open_page(tg.draw(model, np.ones((5, 6), np.float32)))
    assert "its last axis must be 3" in page.text("#error")
    assert any("its last axis must be 3" in text for text in page.texts())


def test_light_and_dark(open_page):
    page = open_page(mlp_graph())
    ground = "return getComputedStyle(document.body).backgroundColor"
    before = page.run(ground)
    page.click("#theme")
    assert page.run(ground) != before


def test_a_wide_graph_begins_at_its_inputs_in_a_size_to_read(open_page):
    y = Tensor([0.5], requires_grad=True, name="first")
    for _ in range(30):
        y = np.tanh(y)
    page = open_page(tg.draw(y, direction="LR"))
    page.set("depth", 9)
    transform = page.run("return document.getElementById('world').getAttribute('transform')")
    assert float(transform.partition("scale(")[2].rstrip(")")) >= 0.5
    left = page.run("return document.querySelector('.node').getBoundingClientRect().left")
    assert 0 <= left < 200


def test_the_keyboard_chooses_folds_and_moves(open_page):
    page = open_page(mlp_graph())
    press = (
        "document.querySelector(arguments[0])"
        ".dispatchEvent(new KeyboardEvent('keydown', {key: arguments[1], bubbles: true}))"
    )
    place = "return document.getElementById('world').getAttribute('transform')"
    page.run(press, "[data-key=n3]", "Enter")
    assert page.text("#panel h2") == "linear"
    before = page.run(place)
    page.run(press, "#canvas", "ArrowDown")
    assert page.run(place) != before
    shown = len(page.shown())
    page.run(press, ".frame .handle", "Enter")
    assert len(page.shown()) < shown


def test_a_path_begins_at_an_input_too(open_page):
    x = Tensor([1.0], requires_grad=True, name="x")
    w = Tensor([2.0], requires_grad=True, name="w")
    page = open_page(tg.draw(np.tanh(x) * np.exp(w)))
    page.set("path", "n0", "change")
    assert len(page.run("return document.querySelectorAll('.node.dim')")) == 2  # w and exp


def test_no_name_is_markup(open_page):
    evil = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>\"'\n" * 3
    model = nn.Module()
    model.layers = {evil: nn.Linear(6, 2, rng=0)}
    model.forward = lambda x: model.layers[evil](x)
    page = open_page(tg.draw(model, np.ones((5, 6), np.float32)))
    assert page.browser.title != "owned"
    assert page.run("return document.querySelectorAll('img').length") == 0
    for key in page.shown():
        page.click(f"[data-key={key}]")
    page.set("search", "onerror")
    assert page.text("#found") == "2 found"
    assert page.run("return document.querySelectorAll('img').length") == 0


def test_ten_thousand_nodes_open_folded(open_page):
    y = tg.Tensor([0.5], requires_grad=True)
    for _ in range(5000):
        y = np.tanh(y) * 0.5
    page = open_page(tg.draw(y))
    assert len(page.shown()) < 100
    assert "10,001" in page.text("#panel")


def test_what_is_too_large_to_read_begins_shallower(open_page):
    layers = []
    for i in range(9):
        layers += [nn.Linear(4 + i, 5 + i, rng=i), nn.Tanh()]
    page = open_page(tg.draw(nn.Sequential(*layers), np.ones((2, 4), np.float32)))
    assert not any("8.weight" in text for text in page.texts())
    assert any("8 (Linear)" in text for text in page.texts())
