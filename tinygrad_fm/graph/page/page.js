"use strict";
// A graph to explore. All layouts come with the data: this script draws one of them, and colours it.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";
  const { nodes, groups, edges, states } = data;

  // ---- the model: which group stands for a node, what leads where -------------------------------

  const byKey = new Map([...nodes, ...groups].map((card) => [card.key, card]));
  const byNumber = new Map(nodes.map((node) => [node.number, node]));
  groups.forEach((group, i) => Object.assign(group, { id: i, members: [] }));
  for (const node of nodes) {
    for (let g = node.group; g >= 0; g = groups[g].parent) groups[g].members.push(node);
  }
  const inputs = new Map(nodes.map((node) => [node.number, []]));
  const outputs = new Map(nodes.map((node) => [node.number, []]));
  for (const [start, end] of edges) {
    inputs.get(end).push(start);
    outputs.get(start).push(end);
  }
  const groupsAround = (node) => {
    const around = [];
    for (let g = node.members ? node.parent : node.group; g >= 0; g = groups[g].parent) around.unshift(g);
    return around;
  };

  // What is open is a set of group numbers. A layout belongs to just one such set.
  const name = (open) => [...open].sort((a, b) => a - b).join(" ");
  const stateOf = new Map(states.map((state, i) => [name(state.open), i]));
  states.forEach((state) => (state.opened = new Set(state.open)));

  const now = { state: 0, chosen: null, heat: "", path: "", query: "", frame: -1, view: null };
  const opened = () => states[now.state].opened;

  // The card that the present layout shows for a node: itself, or the outermost closed group.
  const shownFor = (node) => {
    for (const g of groupsAround(node)) if (!opened().has(g)) return groups[g];
    return node;
  };

  // ---- making elements: text only ever goes in as text ------------------------------------------

  const make = (kind, attributes = {}, text = null, parent = null) => {
    const made = document.createElementNS(SVG, kind);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== null) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  };
  const element = (kind, text = "", parent = null, className = "") => {
    const made = document.createElement(kind);
    made.textContent = text;
    if (className) made.className = className;
    if (parent) parent.append(made);
    return made;
  };

  // ---- numbers for people -----------------------------------------------------------------------

  const short = (value) => {
    if (value === null || value === undefined) return "not finite";
    if (value === 0) return "0";
    const size = Math.abs(value);
    return size < 1e-3 || size >= 1e5 ? value.toExponential(2) : String(+value.toPrecision(4));
  };
  const count = (value, unit) => {
    for (const [size, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
      if (value >= size) return `${+(value / size).toPrecision(3)} ${letter}${unit}`;
    }
    return `${value} ${unit}`.trim();
  };
  const seconds = (value) => {
    if (value < 1e-3) return `${+(value * 1e6).toPrecision(3)} µs`;
    return value < 1 ? `${+(value * 1e3).toPrecision(3)} ms` : `${+value.toPrecision(3)} s`;
  };
  const WRITE = {
    seconds, kept: (v) => count(v, "B"), flops: (v) => count(v, "FLOP"),
    parameters: (v) => v.toLocaleString("en"), gradient: short,
  };

  // The count of some nodes; that of an operation of the user's own is not known.
  const flops = (some, known) => {
    const all = some.every((node) => node.flops !== null);
    if (!all) return known ? `at least ${WRITE.flops(known)}` : "unknown";
    return known ? WRITE.flops(known) : "";
  };

  // ---- statistics of the node, or of the step of the training -----------------------------------

  const frame = () => data.frames[now.frame];
  const valueOf = (node) => (frame() ? frame().values[node.number] : node.value);
  const gradientOf = (node) => (frame() ? frame().gradients[node.number] : node.gradient);
  const badgesOf = (card) => {
    if (!frame()) return card.badges || [];
    const members = card.members || [card];
    return [...new Set(members.flatMap((node) => frame().badges[node.number] || []))].slice(0, 3);
  };

  // What a node weighs on the chosen scale; a group what its nodes weigh together (or, of gradient
  // norms, which do not add up, the largest). Undefined where it is not known.
  const weigh = (card, scale) => {
    if (card.members) {
      const present = card.members.filter((node) => node.change !== "removed");
      const counted = present.length ? present : card.members;
      const found = counted.map((node) => weigh(node, scale)).filter((v) => v !== undefined);
      if (!found.length) return undefined;
      return scale === "gradient" ? Math.max(...found) : found.reduce((a, b) => a + b, 0);
    }
    if (scale === "gradient") return gradientOf(card)?.norm ?? undefined;
    if (scale === "seconds") return card.seconds;
    return card[scale] ?? (scale === "flops" && card.flops === null ? undefined : 0);
  };

  const RAMP = [[255, 255, 229], [254, 217, 118], [253, 141, 60], [204, 76, 2], [90, 30, 4]];
  const colour = (t) => {
    const at = Math.min(Math.max(t, 0), 1) * (RAMP.length - 1);
    const i = Math.min(Math.floor(at), RAMP.length - 2);
    return RAMP[i].map((low, k) => Math.round(low + (RAMP[i + 1][k] - low) * (at - i)));
  };

  // ---- drawing ----------------------------------------------------------------------------------

  const world = $("world");
  const drawn = new Map(); // key -> its element

  const draw = () => {
    const state = states[now.state];
    world.replaceChildren();
    drawn.clear();
    for (const [id, x, y, w, h] of state.frames) {
      const g = make("g", { class: "frame", "data-group": id }, null, world);
      make("rect", { x, y, width: w, height: h, rx: 9 }, null, g);
      const handle = make("g", { class: "handle", tabindex: 0, role: "button" }, null, g);
      make("rect", { x, y, width: w, height: 22, fill: "transparent", style: "fill:transparent;stroke:none" }, null, handle);
      make("text", { x: x + 9, y: y + 15 }, `\u25BE ${groups[id].label}`, handle);
      handle.addEventListener("click", () => toggle(id));
      onEnter(handle, () => toggle(id));
    }
    for (const [start, end, d] of state.lines) {
      make("path", { class: "line", d, "data-from": start, "data-to": end }, null, world);
    }
    for (const box of state.boxes) drawNode(...box);
    colourAll();
    mark();
  };

  const onEnter = (shape, act) => shape.addEventListener("keydown", (event) => event.key === "Enter" && act());

  const drawNode = (key, x, y, w, h) => {
    const card = byKey.get(key);
    const look = data.looks[card.look];
    const g = make("g", { class: "node", "data-key": key, tabindex: 0, role: "button" }, null, world);
    make("rect", {
      class: "box", x: x - w / 2, y: y - h / 2, width: w, height: h, rx: look.rounded ? 9 : 2,
      "stroke-width": look.thick ? 2 : 1.2, stroke: look.line,
      ...(look.dashed || (card.kind === "operation" && !card.requires_grad) ? { "stroke-dasharray": "4 3" } : {}),
    }, null, g);
    g.addEventListener("click", () => choose(key));
    onEnter(g, () => choose(key));
    if (card.members) g.addEventListener("dblclick", () => toggle(card.id));
    g.addEventListener("pointerenter", (event) => hover(card, event));
    g.addEventListener("pointerleave", () => ($("hover").hidden = true));
    drawn.set(key, { g, x, y, h, card });
  };

  // The words in a box: name, shape, and what is worth a look; these change with the step.
  const linesOf = (card) => {
    const value = card.size === "scalar" && !card.members ? valueOf(card) : null;
    if (!value) return card.lines;
    return card.lines.map((line) => (line.startsWith("scalar") ? `scalar = ${short(value.mean)}` : line));
  };
  const write = ({ g, x, y, card }) => {
    g.querySelectorAll("text").forEach((old) => old.remove());
    const alarms = card.kind === "error" ? (card.note || "").split("\n").slice(0, 6) : badgesOf(card).map((b) => `! ${b}`);
    const lines = [...linesOf(card).map((line, i) => [line, i ? "more" : ""]), ...alarms.map((line) => [line, "alarm"])];
    if (card.members) lines[0] = [`\u25B8 ${lines[0][0]}`, ""];
    const heights = lines.map(([, kind]) => (kind ? 11.5 : 13.5));
    let top = y - heights.reduce((a, b) => a + b, 0) / 2;
    lines.forEach(([line, kind], i) => {
      const limit = kind === "alarm" && card.kind === "error" ? 90 : 60;
      const text = line.length > limit ? `${line.slice(0, limit - 1)}\u2026` : line;
      make("text", { x, y: top + heights[i] * 0.78, ...(kind ? { class: kind } : {}) }, text, g);
      top += heights[i];
    });
  };

  const colourAll = () => {
    const scale = now.heat;
    let low = Infinity;
    let high = 0;
    const weights = new Map();
    if (scale) {
      const widen = (weight) => {
        if (weight > 0) [low, high] = [Math.min(low, weight), Math.max(high, weight)];
      };
      for (const [key, { card }] of drawn) {
        const weight = weigh(card, scale);
        weights.set(key, weight);
        widen(weight);
      }
      // one scale for all steps of a training, so that colours can be compared between them
      const step = now.frame;
      for (now.frame = 0; scale === "gradient" && now.frame < data.frames.length; now.frame++) {
        for (const { card } of drawn.values()) widen(weigh(card, scale));
      }
      now.frame = step;
    }
    const place = (weight) => (high > low ? Math.log(weight / low) / Math.log(high / low) : 1);
    for (const [key, shape] of drawn) {
      const weight = weights.get(key);
      const rgb = scale && weight > 0 ? colour(place(weight)) : null;
      const plain = scale ? "#f1f1ef" : data.looks[shape.card.look].fill;
      shape.g.querySelector(".box").setAttribute("fill", rgb ? `rgb(${rgb})` : plain);
      shape.g.classList.toggle("light", rgb !== null && rgb[0] * 0.3 + rgb[1] * 0.6 + rgb[2] * 0.1 < 120);
      shape.g.classList.toggle("heated", rgb !== null);
      write(shape);
    }
    legend(scale, low, high);
  };

  const legend = (scale, low, high) => {
    const box = $("legend");
    box.replaceChildren();
    if (!scale) {
      const used = new Set([...drawn.values()].map(({ card }) => card.look));
      for (const [look, { fill, line, meaning, dashed }] of Object.entries(data.looks)) {
        if (!used.has(look)) continue;
        const row = element("div", "", box);
        const sample = element("i", "", row);
        Object.assign(sample.style, { background: fill, borderColor: line, borderStyle: dashed ? "dashed" : "solid" });
        row.append(meaning);
      }
      return;
    }
    element("div", $("heat").selectedOptions[0].textContent, box);
    if (high === 0) {
      const advice = scale === "seconds" || scale === "gradient" ? "not measured: draw(..., values=True)" : "zero everywhere";
      element("div", advice, box);
      return;
    }
    const stops = RAMP.map((rgb) => `rgb(${rgb})`).join(",");
    element("div", "", box, "ramp").style.background = `linear-gradient(to right,${stops})`;
    const ends = element("div", "", box, "ends");
    element("span", WRITE[scale](low), ends);
    element("span", WRITE[scale](high), ends);
  };

  // Marks: what is chosen, what was found, and the way from a parameter to the result.
  const mark = () => {
    const hits = new Set(now.query ? matches().map((card) => shownFor(card).key) : []);
    const way = now.path ? between(byKey.get(now.path)) : null;
    for (const [key, { g, card }] of drawn) {
      const members = card.members || [card];
      g.classList.toggle("chosen", key === now.chosen);
      g.classList.toggle("hit", hits.has(key));
      g.classList.toggle("dim", way !== null && !members.some((node) => way.has(node.number)));
    }
    const lit = new Set();
    if (way) {
      for (const [start, end] of edges) {
        if (way.has(start) && way.has(end)) lit.add(`${shownFor(byNumber.get(start)).key} ${shownFor(byNumber.get(end)).key}`);
      }
    }
    for (const line of world.querySelectorAll(".line")) {
      const on = lit.has(`${line.dataset.from} ${line.dataset.to}`);
      line.classList.toggle("on", on);
      line.classList.toggle("dim", way !== null && !on);
    }
  };

  const reach = (starts, next) => {
    const found = new Set(starts);
    for (const number of found) next.get(number).forEach((other) => found.add(other));
    return found;
  };
  const between = (node) => {
    const forward = reach([node.number], outputs);
    const back = reach(data.results.filter((number) => forward.has(number)), inputs);
    return new Set([...forward].filter((number) => back.has(number)));
  };

  // ---- folding ----------------------------------------------------------------------------------

  const show = (state, around = null) => {
    const was = around === null ? null : placeOf(around);
    now.state = state;
    const depth = data.depths.indexOf(state);
    if (depth >= 0) $("depth").value = depth;
    $("depth-value").textContent = depth >= 0 ? depth : "mixed";
    if (now.chosen && !states[state].boxes.some(([key]) => key === now.chosen)) {
      const card = byKey.get(now.chosen);
      if (!card.members) now.chosen = shownFor(card).key;
    }
    draw();
    if (around === null) start();
    else stay(around, was);
  };

  // Where a group is: its frame when it is open, its box when it is closed.
  const placeOf = (id) => {
    const frame = states[now.state].frames.find(([other]) => other === id);
    if (frame) return [frame[1] + frame[3] / 2, frame[2]];
    const shape = drawn.get(groups[id].key);
    return shape ? [shape.x, shape.y - shape.h / 2] : null;
  };
  // Move the picture so that a group is where it was on the screen, and the eye with it.
  const stay = (id, was) => {
    const is = placeOf(id);
    if (was && is) {
      now.view.x += (was[0] - is[0]) * now.view.scale;
      now.view.y += (was[1] - is[1]) * now.view.scale;
    }
    apply();
  };

  // The layout that has a group open (or closed) as wanted, and otherwise differs least.
  const toggle = (id) => {
    const want = !opened().has(id);
    const target = new Set(opened());
    if (want) [...groups[id].opens, ...groupsAround(groups[id])].forEach((g) => target.add(g));
    else {
      for (const g of opened()) if (g === id || groupsAround(groups[g]).includes(id)) target.delete(g);
    }
    goTo(target, (state) => state.opened.has(id) === want && groupsAround(groups[id]).every((g) => state.opened.has(g)), id);
  };
  const goTo = (target, fits, around) => {
    const exact = stateOf.get(name(target));
    if (exact !== undefined) return show(exact, around);
    let best = -1;
    let least = Infinity;
    states.forEach((state, i) => {
      if (!fits(state)) return;
      const differs = [...target].filter((g) => !state.opened.has(g)).length + [...state.opened].filter((g) => !target.has(g)).length;
      if (differs < least) [best, least] = [i, differs];
    });
    if (best < 0) return say("this file holds no layout with that open: draw a smaller part, or fold others first");
    const folded = [...target].some((g) => !states[best].opened.has(g));
    const more = [...states[best].opened].some((g) => !target.has(g));
    show(best, around);
    const others = [folded && "folded", more && "opened"].filter(Boolean).join(" and ");
    return say(`this page holds ${states.length} of the foldings; in the nearest one, others are ${others} too`);
  };
  let silence;
  const say = (text) => {
    $("message").textContent = text;
    $("message").hidden = false;
    clearTimeout(silence);
    silence = setTimeout(() => ($("message").hidden = true), 4000);
  };

  // ---- search, hover, panel ---------------------------------------------------------------------

  const matches = () => {
    const words = now.query.toLowerCase();
    const has = (text) => text && text.toLowerCase().includes(words);
    return nodes.filter((n) => has(n.label) || has(n.name) || has(n.operation) || has(n.line) || String(n.number) === words);
  };
  const search = () => {
    now.query = $("search").value.trim();
    const found = now.query ? matches() : [];
    $("found").textContent = now.query ? `${found.length} found` : "";
    mark();
    return found;
  };
  const reveal = (node) => {
    const around = groupsAround(node);
    const holds = (state) => around.every((g) => state.opened.has(g));
    const all = around.length;
    while (around.length && !states.some(holds)) around.pop(); // as near as this file gets
    if (!holds(states[now.state])) goTo(new Set([...opened(), ...around]), holds, around[0]);
    if (around.length < all) say("this file holds no layout with that open: this is what it is in");
    choose(shownFor(node).key);
    centre(now.chosen);
  };

  const hover = (card, event) => {
    const box = $("hover");
    const lines = [card.lines[0], card.size && `${card.size} ${card.dtype || ""}`];
    for (const scale of ["parameters", "flops", "kept", "seconds"]) {
      const weight = weigh(card, scale);
      if (weight) lines.push(`${{ parameters: "parameters ", flops: "", kept: "kept ", seconds: "" }[scale]}${WRITE[scale](weight)}`);
    }
    lines.push(...badgesOf(card).map((badge) => `! ${badge}`));
    box.textContent = lines.filter(Boolean).join("\n");
    box.hidden = false;
    const area = $("canvas").getBoundingClientRect();
    box.style.left = `${Math.min(event.clientX - area.left + 14, area.width - box.offsetWidth - 6)}px`;
    box.style.top = `${Math.min(event.clientY - area.top + 14, area.height - box.offsetHeight - 6)}px`;
  };

  const choose = (key) => {
    now.chosen = key;
    mark();
    panel();
  };

  const panel = () => {
    const side = $("panel");
    side.replaceChildren();
    const card = now.chosen && byKey.get(now.chosen);
    if (!card) return overview(side);
    element("h2", card.label, side);
    const where = element("div", "", side, "where");
    for (const g of groupsAround(card)) jump(groups[g].label, () => toggle(g), where, "Fold");
    if (card.members) jump(opened().has(card.id) ? "fold" : "unfold", () => toggle(card.id), element("div", "", side));
    for (const badge of badgesOf(card)) element("div", badge, side, "alarm");
    const list = element("dl", "", side);
    const fact = (term, text) => {
      if (text === undefined || text === "" || text === null) return;
      element("dt", term, list);
      element("dd", text, list);
    };
    fact("number", card.members ? `${card.members.length} nodes` : card.number);
    fact("kind", card.members ? "module" : data.looks[card.look].meaning);
    fact("name", card.name);
    fact("shape", card.size);
    fact("dtype", card.dtype);
    fact("parameters", weigh(card, "parameters") ? WRITE.parameters(weigh(card, "parameters")) : "");
    fact("FLOPs", flops(card.members || [card], weigh(card, "flops")));
    fact("kept for backward", weigh(card, "kept") ? WRITE.kept(weigh(card, "kept")) : "");
    fact("time", weigh(card, "seconds") !== undefined ? WRITE.seconds(weigh(card, "seconds")) : "");
    fact("gradient", card.kind === "operation" ? (card.requires_grad ? "flows through" : "does not flow") : "");
    fact("line", card.line);
    if (card.note) element("pre", card.note, side);
    if (!card.members) {
      statistics("Values", valueOf(card), side);
      statistics("Gradient", gradientOf(card), side);
      links("Computed from", inputs.get(card.number), side);
      links("Used by", outputs.get(card.number), side);
    }
  };
  const overview = (side) => {
    element("h2", data.title || "Graph", side);
    element("div", "Click a node for its facts. Click a module's title to fold it, double-click a folded one to open it.", side, "where");
    const list = element("dl", "", side);
    for (const [term, text] of [
      ["nodes", nodes.length.toLocaleString("en")],
      ["parameters", data.totals.parameters.toLocaleString("en")],
      ["FLOPs", flops(nodes, data.totals.flops) || "0 FLOP"],
      ["kept for backward", count(data.totals.kept, "B")],
      ["layouts in this file", states.length],
    ]) {
      element("dt", term, list);
      element("dd", text, list);
    }
  };
  const jump = (text, go, parent, title = "") => {
    const made = element("button", text, parent);
    if (title) made.title = title;
    made.addEventListener("click", go);
  };
  const links = (title, numbers, side) => {
    if (!numbers.length) return;
    element("h3", title, side);
    const row = element("div", "", side);
    numbers.slice(0, 40).forEach((number) => jump(`${number} ${byNumber.get(number).label}`, () => reveal(byNumber.get(number)), row));
    if (numbers.length > 40) row.append(`and ${numbers.length - 40} more`);
  };
  const statistics = (title, found, side) => {
    if (!found) return;
    element("h3", title, side);
    const chart = make("svg", { class: "histogram", viewBox: "0 0 160 46", preserveAspectRatio: "none" }, null, side);
    const top = Math.max(...found.histogram, 1);
    found.histogram.forEach((n, i) => {
      const h = (42 * n) / top;
      make("rect", { x: i * 10 + 0.5, y: 44 - h, width: 9, height: Math.max(h, n ? 1 : 0) }, null, chart);
    });
    const list = element("dl", "", side);
    for (const key of ["mean", "std", "min", "max", "norm"]) {
      element("dt", key, list);
      element("dd", short(found[key]), list);
    }
    element("dt", "zeros", list);
    element("dd", `${+(found.zeros * 100).toPrecision(3)}%`, list);
    if (found.nonfinite) {
      element("dt", "non-finite", list);
      element("dd", found.nonfinite.toLocaleString("en"), list, "alarm");
    }
  };

  // ---- moving and zooming -----------------------------------------------------------------------

  const apply = () => {
    const { x, y, scale } = now.view;
    world.setAttribute("transform", `translate(${x} ${y}) scale(${scale})`);
  };
  const fit = () => {
    const [w, h] = states[now.state].size;
    const area = $("canvas").getBoundingClientRect();
    const scale = Math.min((area.width - 30) / w, (area.height - 30) / h, 1.6);
    now.view = { scale, x: (area.width - w * scale) / 2, y: (area.height - h * scale) / 2 };
    apply();
  };
  // At first: all of it if that can be read, else its beginning, in a size that can be.
  const start = () => {
    fit();
    const readable = 0.8;
    if (now.view.scale >= readable) return;
    const [w, h] = states[now.state].size;
    const area = $("canvas").getBoundingClientRect();
    const scale = Math.min(readable, Math.max((area.width - 30) / w, (area.height - 30) / h));
    const rightwards = w * area.height > h * area.width; // too wide rather than too high
    const centred = { x: (area.width - w * scale) / 2, y: (area.height - h * scale) / 2 };
    now.view = { scale, x: rightwards && data.direction === "LR" ? 14 : centred.x, y: rightwards ? Math.max(centred.y, 14) : 14 };
    apply();
  };
  const zoom = (factor, at = null) => {
    const area = $("canvas").getBoundingClientRect();
    const [px, py] = at || [area.width / 2, area.height / 2];
    const scale = Math.min(Math.max(now.view.scale * factor, 0.02), 8);
    const ratio = scale / now.view.scale;
    now.view = { scale, x: px - (px - now.view.x) * ratio, y: py - (py - now.view.y) * ratio };
    apply();
  };
  const pan = (x, y) => {
    now.view.x += x;
    now.view.y += y;
    apply();
  };
  const centre = (key) => {
    const shape = drawn.get(key);
    if (!shape) return;
    const area = $("canvas").getBoundingClientRect();
    const scale = Math.max(now.view.scale, 0.7);
    now.view = { scale, x: area.width / 2 - shape.x * scale, y: area.height / 2 - shape.y * scale };
    apply();
  };

  const canvas = $("canvas");
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const area = canvas.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY * 0.0015), [event.clientX - area.left, event.clientY - area.top]);
  }, { passive: false });
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    drag = { x: event.clientX - now.view.x, y: event.clientY - now.view.y, from: [event.clientX, event.clientY], moved: false };
  });
  window.addEventListener("pointermove", (event) => {
    if (!drag) return;
    if (Math.hypot(event.clientX - drag.from[0], event.clientY - drag.from[1]) < 4 && !drag.moved) return;
    drag.moved = true;
    canvas.classList.add("dragging");
    now.view.x = event.clientX - drag.x;
    now.view.y = event.clientY - drag.y;
    apply();
  });
  window.addEventListener("pointerup", (event) => {
    const click = drag && !drag.moved && !event.target.closest(".node, .handle, #legend");
    if (click && canvas.contains(event.target)) choose(null);
    drag = null;
    canvas.classList.remove("dragging");
  });

  // ---- controls ---------------------------------------------------------------------------------

  $("title").textContent = data.title || "Graph";
  $("error").textContent = data.error;
  $("error").hidden = !data.error;
  $("depth").max = data.depths.length - 1;
  $("depth").addEventListener("input", () => show(data.depths[+$("depth").value]));
  $("heat").addEventListener("change", () => {
    now.heat = $("heat").value;
    colourAll();
    mark();
  });
  for (const node of nodes) {
    if (node.kind !== "parameter" && !(node.kind === "input" && node.requires_grad)) continue;
    const option = element("option", node.label, $("path"));
    option.value = node.key;
  }
  $("path").addEventListener("change", () => {
    now.path = $("path").value;
    mark();
  });
  $("search").addEventListener("input", search);
  let turn = 0;
  $("search").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    const found = search();
    if (found.length) reveal(found[turn++ % found.length]);
  });
  $("in").addEventListener("click", () => zoom(1.3));
  $("out").addEventListener("click", () => zoom(1 / 1.3));
  $("fit").addEventListener("click", fit);
  $("theme").addEventListener("click", () => document.documentElement.classList.toggle("dark"));
  if (matchMedia("(prefers-color-scheme: dark)").matches) document.documentElement.classList.add("dark");
  window.addEventListener("keydown", (event) => {
    if (/INPUT|SELECT/.test(event.target.tagName)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const act = { "/": () => $("search").focus(), "+": () => zoom(1.3), "-": () => zoom(1 / 1.3), 0: fit, Escape: () => choose(null),
      ArrowLeft: () => pan(90, 0), ArrowRight: () => pan(-90, 0), ArrowUp: () => pan(0, 90), ArrowDown: () => pan(0, -90) }[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });
  if (data.frames.length) {
    $("steps").hidden = false;
    $("step").max = data.frames.length - 1;
    $("step").value = now.frame = data.frames.length - 1;
    const step = () => {
      now.frame = +$("step").value;
      $("step-value").textContent = frame().step;
      colourAll();
      mark();
      panel();
    };
    $("step").addEventListener("input", step);
    $("step-value").textContent = frame().step;
  }
  window.addEventListener("resize", fit);
  show(data.start);
  panel();
})();
