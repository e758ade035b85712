"""Text, data and pictures: what each holds, what no name can break, what needs a renderer."""

import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import Tensor, nn
from tinygrad_fm.graph import Graph, RenderError, find_renderer, render

EVIL = "<script>alert(1)</script>\"'\\N\n]; evil [label=<<b>x</b>>] --> %%{init}%% &amp; </svg>"
needs_renderer = pytest.mark.skipif(
    find_renderer() is None, reason="needs Graphviz or the extra `render`"
)


@pytest.fixture
def no_renderer(monkeypatch):
    monkeypatch.setattr(render, "find_renderer", lambda kind="svg": None)


@pytest.fixture
def graph():
    model = nn.Sequential(nn.Linear(4, 3, rng=0), nn.ReLU(), nn.Linear(3, 2, rng=1))
    return tg.draw(model, np.ones((5, 4), np.float32), values=True)


class Evil(nn.Module):
    def __init__(self, name):
        self.layers = {name: nn.Linear(2, 2, rng=0)}

    def forward(self, x):
        return next(iter(self.layers.values()))(x)


def evil_graph(name):
    x = Tensor(np.ones((2, 2), np.float32), requires_grad=True, name=name)
    return tg.draw(Evil(name)(x))


def test_text_lists_modules_nodes_and_totals(graph):
    assert graph.to_text() == (
        "0  x             5 × 4 float32  input\n"
        "   Sequential\n"
        "     0 (Linear)\n"
        "1      0.weight  4 × 3 float32  parameter\n"
        "2      0.bias    3 float32      parameter\n"
        "3      linear    5 × 3 float32  from 0 1 2\n"
        "     1 (ReLU)\n"
        "4      relu      5 × 3 float32  from 3  ! 33% dead\n"
        "     2 (Linear)\n"
        "5      2.weight  3 × 2 float32  parameter\n"
        "6      2.bias    2 float32      parameter\n"
        "7      linear    5 × 2 float32  from 4 5 6  <- result\n"
        "8 nodes, 23 parameters, 220 FLOP, 60 B kept for the backward pass\n"
    )


def test_mermaid_has_every_node_edge_and_module(graph):
    text = graph.to_mermaid()
    assert text.startswith("flowchart TB\n")
    assert text.count("-->") == len(graph.edges)
    assert len(re.findall(r"^ *n\d+[(\[]", text, re.MULTILINE)) == len(graph.nodes)
    assert text.count("subgraph") == text.count("\n  end") + text.count("\n    end") == 4


def test_json_comes_back_as_it_was(graph, tmp_path):
    graph.frames = [tg.graph.Frame(3, {4: graph.nodes[4].value}, {})]
    back = Graph.load(graph.save(tmp_path / "g.json"))
    assert back == graph


def test_json_has_no_nan(tmp_path):
    with np.errstate(all="ignore"):
        graph = tg.draw(lambda x: np.log(x), (np.array([-1.0, 0.0]),), values=True)
    path = graph.save(tmp_path / "g.json")
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert np.isnan(Graph.load(path).nodes[1].value.mean)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"tinygrad_fm_graph": 2}', "<svg/>"])
def test_another_file_is_no_graph(content, tmp_path):
    (tmp_path / "g.json").write_text(content)
    with pytest.raises(ValueError, match=r"g\.json"):
        Graph.load(tmp_path / "g.json")


@pytest.mark.parametrize(
    "changed",
    [
        {"direction": "TB]; evil ["},
        {"edges": [[0, 99]]},
        {"results": [99]},
        {"nodes": [{"number": 0, "kind": "evil", "label": "x"}], "edges": [], "results": []},
        {"nodes": [{"number": "0]; evil", "kind": "input", "label": "x"}], "edges": []},
    ],
)
def test_a_file_that_no_drawing_made_is_refused(graph, changed):
    with pytest.raises(ValueError, match=r"no saved graph: .* is not to be in it"):
        Graph.from_dict({**graph.to_dict(), **changed})


def test_without_a_renderer_text_data_and_dot_work(graph, tmp_path, no_renderer):
    for ending in ("dot", "json", "mmd", "txt"):
        assert graph.save(tmp_path / f"g.{ending}").stat().st_size > 100
    assert graph._repr_svg_() is None


@pytest.mark.parametrize("ending", ["svg", "png", "pdf", "html"])
def test_without_a_renderer_the_ways_out_are_named_and_no_file_is_left(
    ending, graph, tmp_path, no_renderer
):
    ways = r"(?s)\.dot, \.json, \.mmd or \.txt.*install Graphviz"
    with pytest.raises(RenderError, match=ways) as raised:
        graph.save(tmp_path / f"g.{ending}")
    # the extra makes no PDF
    assert ("tinygrad_fm[render]" in str(raised.value)) == (ending != "pdf")
    assert list(tmp_path.iterdir()) == []


def test_the_legend_is_in_pictures_and_not_in_golden_text(graph):
    assert "legend" not in graph.to_dot()
    assert "parameter</FONT>" in graph.to_dot(legend=True)


# ---- names that would like to be more than names -------------------------------------------------


@pytest.mark.parametrize("name", [EVIL, "x" * 10_000, "\x00\x1b[31m\u202e", "a\nb", " "])
def test_no_name_breaks_dot(name):
    dot = evil_graph(name).to_dot()
    assert "<script>" not in dot
    assert max(map(len, dot.splitlines())) < 1_000
    # names stand in HTML labels alone, where < > & " are entities
    for label in re.findall(r"label=<(.*?)>, (?:style|fillcolor)", dot):
        ET.fromstring(f"<label>{label}</label>")


@needs_renderer
@pytest.mark.parametrize("name", [EVIL, "x" * 10_000, "\x00\x1b[31m\u202e", "a\nb"])
def test_no_name_breaks_svg(name, tmp_path):
    path = evil_graph(name).save(tmp_path / "g.svg")
    root = ET.parse(path).getroot()
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {
        "svg", "g", "title", "polygon", "path", "text", "polyline",
    }  # fmt: skip


@needs_renderer
def test_no_name_ends_the_script_of_a_page(tmp_path):
    page = evil_graph(EVIL).save(tmp_path / "g.html").read_text()
    assert page.count("</script>") == 2
    assert "alert(1)</" not in page


def test_no_name_breaks_mermaid():
    text = evil_graph(EVIL).to_mermaid()
    assert "<script" not in text
    assert "%%" not in text
    assert all(line.count('"') in (0, 2) for line in text.splitlines())


@needs_renderer
def test_no_name_steers_a_terminal(tmp_path):
    name = "red\x1b[31m\u202e\x00\ud800"
    x = Tensor(np.ones((2, 2), np.float32), requires_grad=True, name=name)
    graph = tg.draw(Evil(name)(x))
    graph.nodes[-1].note = graph.title = name
    for kind in ("txt", "mmd", "dot", "json"):
        path = graph.save(tmp_path / f"graph.{kind}")
        assert all(c.isprintable() or c == "\n" for c in path.read_text(encoding="utf-8"))
    assert Graph.load(tmp_path / "graph.json").nodes[0].name == name


def test_totals_say_where_the_work_of_an_operation_is_not_known():
    own = tg.custom_vjp(lambda x: x[::-1] * 2, backward=lambda g, y, x: 2 * g[::-1])
    x = Tensor(np.ones(4), requires_grad=True)
    graph = tg.draw(np.sum(own(np.tanh(x))))
    assert ", at least 8 FLOP," in graph.to_text()
    assert ", 4 FLOP," in tg.draw(np.tanh(x)).to_text()


def test_a_page_asks_the_network_for_nothing(graph, tmp_path):
    page = graph.save(tmp_path / "g.html").read_text()
    urls = set(re.findall(r"https?://[^\s\"'<]+", page))
    assert urls == {"http://www.w3.org/2000/svg"}  # the name of SVG, not an address to load
    assert "default-src 'none'" in page
