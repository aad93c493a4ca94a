// What the page is made of: numbers with their units, elements, tables and charts.
// Whatever comes from a log or a stat is set as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
export const tenth = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });
export const hundredth = new Intl.NumberFormat("en-US", { maximumFractionDigits: 2 });
// In a column, numbers of one size have the same places.
const [onePlace, twoPlaces] = [1, 2].map((places) => new Intl.NumberFormat("en-US", { minimumFractionDigits: places, maximumFractionDigits: places }));

// ---- Numbers

export const count = (value) => whole.format(value);
export const rate = (value) => (value === 0 ? "0" : (value >= 100 ? whole : value >= 10 ? onePlace : twoPlaces).format(value));
// Filters measure whole milliseconds: nought is less than one.
export const time = (ms) => (ms < 1 ? "< 1 ms" : ms >= 10000 ? `${tenth.format(ms / 1000)} s` : `${(ms >= 100 ? whole : onePlace).format(ms)} ms`);
export const percent = (part, all) => (all > 0 ? `${onePlace.format(part * 100 / all)} %` : "–");
export const plural = (value, one, many) => `${count(value)} ${value === 1 ? one : many}`;

export function span(seconds) {
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(seconds)} s`;
}

// ---- Elements

export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") node.className = value;
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

export function draw(tag, attributes = {}) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

export function attribute(node, name, value) {
  if (value == null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

// One child for each item, kept by its key and in the items' order.
export function children(parent, items, key, create, update) {
  const known = (parent.known ??= new Map());
  const used = new Set();
  let place = null;
  for (const item of items) {
    const name = key(item);
    if (used.has(name)) continue;
    used.add(name);
    let node = known.get(name);
    if (!node) {
      node = create(item);
      known.set(name, node);
    }
    const next = place ? place.nextSibling : parent.firstChild;
    if (next !== node) parent.insertBefore(node, next);
    update?.(node, item);
    place = node;
  }
  for (const [name, node] of known) {
    if (!used.has(name)) {
      node.remove();
      known.delete(name);
    }
  }
}

// A part of a section that is made anew only when it is another kind of thing: a table, or the reason why there is none.
export function slot(parent, kind, create) {
  if (parent.kind !== kind) {
    parent.kind = kind;
    parent.replaceChildren(...[create()].flat());
  }
  return parent.firstChild;
}

export function missing(title, ...says) {
  return make("p", { class: "empty" }, make("strong", {}, title), ...says);
}

export function code(value) {
  return make("code", {}, value);
}

// ---- Tables: the first column heads its row. On a phone each row is a card, and `role` keeps it a row.

export function table(label, columns) {
  const head = make("tr", { role: "row" });
  for (const column of columns) {
    head.append(make("th", { scope: "col", role: "columnheader", class: column.num ? "num" : "" }, column.label));
  }
  const body = make("tbody", { role: "rowgroup" });
  return make(
    "table", { class: "stack", role: "table", "aria-label": label },
    make("thead", { role: "rowgroup" }, head), body,
  );
}

export function rows(node, columns, items, key) {
  const create = () => {
    const row = make("tr", { role: "row" });
    columns.forEach((column, place) => {
      const cell = place === 0
        ? make("th", { scope: "row", role: "rowheader" })
        : make("td", { role: "cell", class: [column.num && "num", column.class].filter(Boolean).join(" "), "data-label": column.label });
      row.append(cell);
    });
    return row;
  };
  const update = (row, item) => columns.forEach((column, place) => {
    const cell = row.children[place];
    const value = column.cell(item, cell);
    if (value !== undefined) text(cell, value);
    if (column.id) attribute(cell, "data-number", `${column.id}/${key(item)}`);
    if (column.state) {
      const state = column.state(item);
      cell.classList.toggle("zero", state === "zero");
      cell.classList.toggle("alarm", state === "alarm");
    }
  });
  children(node.tBodies[0], items, key, create, update);
}

export const isZero = (value) => (value === 0 ? "zero" : "");
export const isAlarm = (value) => (value > 0 ? "alarm" : "zero");

// ---- Charts

function line(values, width, height, top) {
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  let path = "";
  let isOn = false;
  values.forEach((value, place) => {
    if (value == null) {
      isOn = false;
      return;
    }
    path += `${isOn ? "L" : "M"}${(place * step).toFixed(1)},${(height - (value / top) * height).toFixed(1)}`;
    isOn = true;
  });
  return path;
}

export function spark(svg, values) {
  if (!svg.firstChild) {
    svg.setAttribute("viewBox", "0 0 100 30");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    svg.append(draw("path", { class: "area" }), draw("path", { class: "stroke" }));
  }
  const some = values.slice(-60);
  const top = Math.max(...some.map((value) => value ?? 0), 0.001) * 1.15;
  const path = some.length > 1 && some.some((value) => value > 0) ? line(some, 100, 28, top) : "";
  attribute(svg.children[1], "d", path);
  attribute(svg.children[0], "d", path && !some.includes(null) ? `${path}L100,31L0,31Z` : "");
}

// A round number that is not below any value, for the axis.
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 0.001)));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= value) ?? 10 * power;
}

export function chart(title, unit, series) {
  const svg = draw("svg", { class: "chart", role: "img" });
  const body = make("tbody");
  const head = make("tr", {}, make("th", { scope: "col" }, "seconds ago"));
  const legend = make("ul", { class: "legend" });
  for (const one of series) {
    legend.append(make("li", {}, make("span", { class: `key ${one.class}` }), one.label));
    head.append(make("th", { scope: "col", class: "num" }, `${one.label}, ${unit}`));
  }
  const card = make(
    "div", { class: "card" },
    make("div", { class: "head" }, make("h3", {}, title), legend), svg,
    make("details", {}, make("summary", {}, "As a table"), make("table", { "aria-label": title }, make("thead", {}, head), body)),
  );
  card.update = (points) => {
    const [width, height] = [svg.clientWidth || 500, svg.clientHeight || 184];
    const [left, bottom] = [44, 22];
    const values = series.map((one) => points.map(one.value));
    const top = ceiling(Math.max(...values.flat().map((value) => value ?? 0), series[0].least ?? 1));
    const parts = [];
    for (const part of [0, 0.5, 1]) {
      const y = 8 + (height - bottom - 8) * (1 - part);
      parts.push(draw("line", { class: "grid", x1: left, x2: width, y1: y, y2: y }));
      const tick = draw("text", { class: "tick", x: left - 8, y: y + 4, "text-anchor": "end" });
      tick.textContent = tenth.format(top * part);
      parts.push(tick);
    }
    const ago = points.length > 1 ? Math.round((points.at(-1).at_ms - points[0].at_ms) / 1000) : 0;
    for (const [x, anchor, label] of [[left, "start", ago > 90 ? `${Math.round(ago / 60)} min ago` : `${ago} s ago`], [width, "end", "now"]]) {
      const tick = draw("text", { class: "tick", x, y: height - 4, "text-anchor": anchor });
      tick.textContent = label;
      parts.push(tick);
    }
    const plot = draw("g", { transform: `translate(${left},8)` });
    values.forEach((list, place) => {
      const path = list.length > 1 ? line(list, width - left, height - bottom - 8, top) : "";
      if (place === 0 && path && !list.includes(null)) {
        plot.append(draw("path", { class: "area", d: `${path}L${width - left},${height - bottom - 8}L0,${height - bottom - 8}Z` }));
      }
      plot.append(draw("path", { class: `stroke ${series[place].class}`, d: path }));
    });
    svg.replaceChildren(...parts, plot);
    svg.classList.toggle("violet", series[0].class.includes("violet"));
    const says = series.map((one, place) => {
      const known = values[place].filter((value) => value != null);
      return known.length
        ? `${one.label}: now ${rate(known.at(-1))} ${unit}, at least ${rate(Math.min(...known))}, at most ${rate(Math.max(...known))}`
        : `${one.label}: nothing yet`;
    });
    attribute(svg, "aria-label", `${title}, the last ${plural(ago, "second", "seconds")}. ${says.join(". ")}.`);
    if (!card.querySelector("details").open) return;
    const tenths = points.filter((_, place) => (points.length - 1 - place) % 10 === 0).reverse();
    const now = points.at(-1)?.at_ms ?? 0;
    body.replaceChildren(...tenths.map((point) => make(
      "tr", {}, make("th", { scope: "row" }, `${Math.round((now - point.at_ms) / 1000)}`),
      ...series.map((one) => make("td", { class: "num" }, one.value(point) == null ? "–" : rate(one.value(point)))),
    )));
  };
  return card;
}
