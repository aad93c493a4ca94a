// The page: each second the state is fetched and laid over what stands there, so that focus, scroll and selection stay where they are.

import {
  attribute, chart, children, code, count, draw, isAlarm, isZero, make, missing, percent, plural, rate, rows, slot, span, spark, table, text, time, hundredth, tenth,
} from "./parts.js";

const PERIOD = 1000;
const byId = (id) => document.getElementById(id);
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

// ---- Sections

function showEnvoy(state) {
  const { envoy } = state;
  const live = envoy.state === "LIVE";
  const [kind, label] = envoy.is_up ? [live ? "good" : "warn", live ? "live" : envoy.state.toLowerCase().replaceAll("_", " ")]
    : envoy.problem ? ["bad", "no answer"] : ["", "starting"];
  const pill = byId("pill");
  text(pill, label);
  attribute(pill, "class", `chip ${kind}`);
  const parts = [envoy.version ? `Envoy ${envoy.version}` : null, envoy.url.replace(/^\w+:\/\//, ""),
    envoy.uptime_seconds == null ? null : `up ${span(envoy.uptime_seconds)}`,
    envoy.restarts > 0 ? `started anew ${plural(envoy.restarts, "time", "times")}` : null];
  text(byId("envoy"), parts.filter(Boolean).join(" · "));
  document.title = envoy.is_up ? `Outrigger · ${rate(state.points.at(-1)?.requests ?? 0)} /s` : "Outrigger · no answer";
  text(byId("footer"), `outrigger ${state.version} · read at ${clock.format(state.now_ms)}${envoy.is_up ? `, in ${count(envoy.read_ms)} ms` : ""} · `
    + "numbers are Envoy's own, since it started; rates are of the last five seconds");
}

function problems(state) {
  const list = [];
  const { envoy } = state;
  if (!envoy.is_up && envoy.problem) {
    const since = envoy.version ? ` The numbers below are those of ${clock.format(envoy.down_since_ms)}.` : "";
    list.push({ kind: "bad", title: `${envoy.problem}.`, says: `${envoy.fix}${since}` });
  }
  if (envoy.is_up && !state.filters.some((filter) => filter.kind)) {
    list.push({ kind: "", title: "This Envoy runs no filter of Outrigger.",
      says: "Load one into its chain (envoy-configs/ and istio/ have whole examples) and the page fills by itself." });
  }
  for (const filter of state.filters.filter((filter) => filter.health === "failing")) {
    list.push({ kind: "bad", title: `${filter.name} does not run.`, says: filter.says });
  }
  for (const experiment of state.experiments) {
    for (const arm of experiment.arms.filter((arm) => arm.is_closed)) {
      list.push({ kind: "", title: `Arm ${arm.name} of ${experiment.name} is closed.`, says: "The guardrail found it worse than control; its users get control." });
    }
  }
  for (const canary of state.personal?.canaries ?? []) {
    list.push({ kind: "bad", title: `The canary ${canary.name} was seen ${plural(canary.count, "time", "times")}.`,
      says: "A value that nobody has was on its way into a record. The record was not written." });
  }
  for (const log of state.logs.filter((log) => log.problem)) {
    list.push({ kind: "", title: `${log.problem}.`, says: "The rest of the page goes on." });
  }
  return list;
}

function showProblems(list) {
  const create = (item) => make("p", { class: `banner ${item.kind}` }, make("strong", {}, item.title), make("span", {}, item.says));
  children(byId("problems"), list, (item) => item.title, create, (node, item) => text(node.lastChild, item.says));
}

function showTiles(state) {
  const { totals, points } = state;
  const last = points.slice(-5);
  const mean = (name) => (last.length ? last.reduce((sum, point) => sum + point[name], 0) / last.length : 0);
  const [requests, errors] = [mean("requests"), mean("errors")];
  const latency = points.findLast((point) => point.p95_ms != null)?.p95_ms;
  const isOff = (has) => (has ? null : "not measured");
  const tiles = [
    { id: "requests", label: "Requests", value: rate(requests), unit: "/s", sum: `${count(totals.requests)} in all`, list: points.map((point) => point.requests) },
    { id: "errors", label: "Answered 5xx", value: requests > 0 ? hundredth.format(errors * 100 / requests) : "0", unit: "%", sum: `${count(totals.errors)} in all`, list: points.map((point) => point.errors), kind: "bad" },
    { id: "latency", label: "95 % answered within", value: latency == null ? "–" : time(latency).slice(0, time(latency).lastIndexOf(" ")), unit: latency == null ? "" : time(latency).split(" ").at(-1),
      sum: isOff(state.routes) ?? "in the last 5 s", list: points.map((point) => point.p95_ms), kind: "violet" },
    { id: "exposures", label: "Exposures", value: rate(mean("exposures")), unit: "/s", sum: isOff(state.has_experiments) ?? `${count(totals.exposures)} in all`, list: points.map((point) => point.exposures) },
    { id: "denied", label: "Denied by policy", value: rate(mean("denied")), unit: "/s", sum: isOff(state.policy) ?? `${count(totals.denied)} in all`, list: points.map((point) => point.denied), kind: "bad" },
    { id: "found", label: "Personal data found", value: rate(mean("found")), unit: "/s", sum: isOff(state.personal) ?? `${count(totals.found)} in all`, list: points.map((point) => point.found), kind: "violet" },
  ];
  const create = (tile) => {
    const value = make("span", { class: "value" }, make("span", { class: "now" }), " ", make("span", { class: "unit" }));
    const svg = draw("svg", { class: `spark ${tile.kind ?? ""}` });
    return make("li", { class: "tile" }, make("span", { class: "label" }, tile.label), value, make("span", { class: "sum", "data-number": `total/${tile.id}` }), svg);
  };
  children(byId("tiles"), tiles, (tile) => tile.id, create, (node, tile) => {
    text(node.querySelector(".now"), tile.value);
    text(node.querySelector(".unit"), tile.unit);
    text(node.querySelector(".sum"), tile.sum);
    spark(node.lastChild, tile.list);
  });
}

const ROUTES = [
  { label: "route", cell: (row, cell) => { slot(cell, "code", () => code("")); text(cell.firstChild, row.name); } },
  { label: "last minute", class: "spark-cell", cell: (row, cell) => { slot(cell, "spark", () => draw("svg", { class: "spark" })); spark(cell.firstChild, row.rates); } },
  { label: "a second", num: true, cell: (row) => `${rate(row.per_second)} /s`, state: (row) => isZero(row.per_second) },
  { label: "requests", num: true, id: "route.requests", cell: (row) => count(row.requests) },
  { label: "errors", num: true, id: "route.errors", cell: (row) => count(row.errors), state: (row) => isAlarm(row.errors) },
  { label: "succeeded", num: true, cell: (row) => percent(row.requests - row.errors, row.requests) },
  { label: "half within", num: true, cell: (row) => (row.p50_ms == null ? "–" : time(row.p50_ms)) },
  { label: "95 % within", num: true, cell: (row) => (row.p95_ms == null ? "–" : time(row.p95_ms)) },
  { label: "99 % within", num: true, cell: (row) => (row.p99_ms == null ? "–" : time(row.p99_ms)) },
];

const CHARTS = [
  ["Requests", "/s", [{ label: "requests", class: "", value: (point) => point.requests, least: 1 }, { label: "answered 5xx", class: "bad", value: (point) => point.errors }]],
  ["Latency", "ms", [{ label: "95 % within", class: "violet", value: (point) => point.p95_ms, least: 5 }, { label: "half within", class: "violet half", value: (point) => point.p50_ms }]],
];

function showTraffic(state) {
  children(byId("charts"), CHARTS, ([title]) => title, (one) => chart(...one), (card) => card.update(state.points));
  const parent = byId("routes");
  if (!state.routes || state.routes.rows.length === 0) {
    slot(parent, state.routes ? "none" : "off", () => (state.routes
      ? missing("No request yet.", "Send one through Envoy's listener: routes appear here as they are asked for.")
      : missing("Rates and latency by route are not measured.", "Load the filter ", code("metrics"), " behind ", code("ab-routing"), " in the chain.")));
    return;
  }
  slot(parent, "table", () => [table("Rates and latency by route", ROUTES), make("p", { class: "muted small more" })]);
  rows(parent.firstChild, ROUTES, state.routes.rows, (row) => row.name);
  more(parent.lastChild, state.routes.more, "route", "routes");
}

function more(node, value, one, many) {
  text(node, value > 0 ? `and ${plural(value, one, many)} with less` : "");
  node.hidden = value === 0;
}

const ARMS = [
  { label: "arm", cell: (arm) => arm.name },
  { label: "share of exposures", class: "wide", cell: showShare },
  { label: "exposures", num: true, id: "arm.exposures", cell: (arm) => count(arm.exposures) },
  { label: "a second", num: true, cell: (arm) => `${rate(arm.per_second)} /s`, state: (arm) => isZero(arm.per_second) },
  { label: "requests", num: true, id: "arm.requests", cell: (arm) => (arm.requests == null ? "–" : count(arm.requests)) },
  { label: "errors", num: true, id: "arm.errors", cell: (arm) => (arm.errors == null ? "–" : `${count(arm.errors)}${arm.errors > 0 ? ` (${percent(arm.errors, arm.requests)})` : ""}`),
    state: (arm) => (arm.errors == null ? "zero" : isAlarm(arm.errors)) },
  { label: "half within", num: true, cell: (arm) => (arm.p50_ms == null ? "–" : time(arm.p50_ms)) },
  { label: "95 % within", num: true, cell: (arm) => (arm.p95_ms == null ? "–" : time(arm.p95_ms)) },
  { label: "health", cell: (arm, cell) => {
    slot(cell, "chip", () => make("span", { class: "chip" }));
    const [kind, label] = arm.is_closed ? ["bad", "closed"] : arm.is_closed === false ? ["good", "open"] : ["", "not guarded"];
    attribute(cell.firstChild, "class", `chip ${kind}`);
    text(cell.firstChild, label);
  } },
];

function showShare(arm, cell) {
  slot(cell, "share", () => {
    const svg = draw("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
    svg.append(draw("rect", { class: "track", width: 100, height: 10, rx: 2 }), draw("rect", { class: "fill", height: 10, rx: 2 }), draw("line", { class: "goal", y1: 0, y2: 10, "vector-effect": "non-scaling-stroke" }));
    return make("span", { class: "share" }, svg, make("span"));
  });
  const [svg, label] = cell.firstChild.children;
  attribute(svg.children[1], "width", String((arm.share ?? 0) * 100));
  svg.children[2].setAttribute("x1", (arm.expected ?? 0) * 100);
  svg.children[2].setAttribute("x2", (arm.expected ?? 0) * 100);
  attribute(svg.children[2], "visibility", arm.expected == null ? "hidden" : "visible");
  const share = arm.share == null ? "–" : percent(arm.share, 1);
  text(label, arm.expected == null ? share : `${share} of ${percent(arm.expected, 1)}`);
}

function showExperiments(state) {
  const parent = byId("arms");
  if (state.experiments.length === 0) {
    parent.known?.clear();
    slot(parent, state.has_experiments ? "none" : "off", () => make("div", { class: "card" }, state.has_experiments
      ? missing("No experiment is configured.", "Add one to ", code("experiments"), " of ab-routing.")
      : missing("There is no experiment.", "Load the filter ", code("ab-routing"), " and give it ", code("experiments"), ".")));
    return;
  }
  if (parent.kind !== "list") {
    parent.kind = "list";
    parent.replaceChildren();
  }
  const create = (experiment) => make(
    "div", { class: "card" },
    make("div", { class: "head" }, make("h3", {}, experiment.name), make("span", { class: "chip" })),
    table(`Arms of ${experiment.name}`, ARMS), make("p", { class: "muted small" }),
  );
  children(parent, state.experiments, (experiment) => experiment.name, create, (card, experiment) => {
    const ratio = card.querySelector(".head .chip");
    const p = experiment.sample_ratio_p;
    const [kind, label] = p == null ? ["", "sample ratio: not tested"]
      : p < 0.01 ? ["bad", `sample ratio: does not fit the weights (p ${p < 0.001 ? "< 0.001" : `= ${p}`})`]
        : ["good", `sample ratio: fits the weights (p = ${p})`];
    attribute(ratio, "class", `chip ${kind}`);
    text(ratio, label);
    rows(card.children[1], ARMS, experiment.arms.map((arm) => ({ ...arm, key: `${experiment.name}/${arm.name}` })), (arm) => arm.key);
    const says = [plural(experiment.exposures, "exposure", "exposures")];
    const reasons = (list, word) => list.length && says.push(`${word}: ${list.map((item) => `${item.name.replaceAll("_", " ")} ${count(item.count)}`).join(", ")}`);
    reasons(experiment.not_bucketed, "in no arm");
    reasons(experiment.uncounted, "not counted");
    if (!experiment.has_health) says.push("requests, errors and latency by arm are not measured: give the experiment “health” or “guardrail”");
    text(card.lastChild, says.join(" · "));
  });
}

// `ns[shop]-policy[no-admin]-rule[0]`
function ruleName(id) {
  const parts = /^ns\[(.*?)\]-policy\[(.*?)\]-rule\[(.*?)\]$/.exec(id);
  return parts ? `${parts[2]} · rule ${parts[3]}${parts[1] ? ` · ${parts[1]}` : ""}` : id;
}

const RULES = [
  { label: "rule", cell: (rule) => rule.policy ? ruleName(rule.policy) : rule.action === "allow" ? "no ALLOW rule matched" : "nothing was against it" },
  { label: "action", cell: (rule, cell) => { slot(cell, "chip", () => make("span", { class: "chip" })); text(cell.firstChild, rule.action.toUpperCase()); } },
  { label: "denied", num: true, id: "rule.denied", cell: (rule) => count(rule.denied), state: (rule) => isAlarm(rule.denied) },
  { label: "denied a second", num: true, cell: (rule) => `${rate(rule.per_second)} /s`, state: (rule) => isZero(rule.per_second) },
  { label: "audited", num: true, id: "rule.audited", cell: (rule) => count(rule.audited), state: (rule) => isZero(rule.audited) },
  { label: "dry run", num: true, id: "rule.dry_run", cell: (rule) => count(rule.dry_run), state: (rule) => isZero(rule.dry_run) },
  { label: "allowed", num: true, id: "rule.allowed", cell: (rule) => count(rule.allowed), state: (rule) => isZero(rule.allowed) },
  { label: "could not tell", num: true, id: "rule.errors", cell: (rule) => count(rule.errors), state: (rule) => isAlarm(rule.errors) },
];

const CANDIDATES = [
  { label: "decides now", cell: (row) => ruleName(row.live) || "nothing" },
  { label: "would decide", cell: (row) => ruleName(row.new) || "nothing" },
  { label: "would be denied", num: true, id: "candidate.would_deny", cell: (row) => count(row.would_deny), state: (row) => isAlarm(row.would_deny) },
  { label: "would be allowed", num: true, id: "candidate.would_allow", cell: (row) => count(row.would_allow), state: (row) => isZero(row.would_allow) },
];

function showPolicy(state) {
  const { policy } = state;
  const rules = byId("rules");
  if (!policy) {
    slot(rules, "off", () => missing("No policy decides here.", "Load the filter ", code("policy"), " with AuthorizationPolicies under ", code("policies"), "."));
  } else {
    slot(rules, "table", () => [make("div", { class: "head" }, make("h3", {}, "Decisions by rule"), make("span", { class: "muted small" })), table("Decisions by rule", RULES), make("p", { class: "muted small" })]);
    text(rules.querySelector(".head .muted"), `${count(policy.allowed)} allowed, ${count(policy.denied)} denied`);
    const isTelling = (rule) => rule.policy || rule.denied + rule.allowed + rule.audited + rule.dry_run + rule.errors > 0;
    rows(rules.children[1], RULES, policy.rules.rows.filter(isTelling), (rule) => `${rule.policy}|${rule.action}`);
    more(rules.lastChild, policy.rules.more, "rule", "rules");
  }
  const candidates = byId("candidates");
  const title = () => make("div", { class: "head" }, make("h3", {}, "What a candidate would change"));
  if (!policy?.candidates) {
    slot(candidates, "off", () => [title(), missing("No candidate has decided otherwise.",
      "Give policy a second set of rules as ", code("candidate"), ": it decides beside the live one, changes nothing, and is counted here where it differs.")]);
  } else {
    slot(candidates, "table", () => [title(), table("What a candidate would change", CANDIDATES)]);
    rows(candidates.children[1], CANDIDATES, policy.candidates.rows, (row) => `${row.live}|${row.new}`);
  }
  const verdicts = byId("verdicts");
  const head = () => make("div", { class: "head" }, make("h3", {}, "Latest verdicts"));
  if (state.verdicts.length === 0) {
    slot(verdicts, state.logs.length ? "none" : "off", () => [head(), noLines(state, "No verdict in the log.",
      ["Let an access log print ", code("%FILTER_STATE(wasm.outrigger.policy:PLAIN)%"), "."])]);
    return;
  }
  slot(verdicts, "list", () => [head(), make("ol", { class: "lines plain scroll", tabindex: "0", "aria-label": "Latest verdicts" })]);
  children(verdicts.lastChild, state.verdicts.slice(0, 20), (line) => line.id, (line) => {
    const denied = line.verdict === "deny";
    const says = [line.policy && ruleName(line.policy), line.reason, ...line.audit.map((id) => `audited by ${ruleName(id)}`)];
    return make("li", {}, make("span", { class: `chip ${denied ? "bad" : "good"}` }, denied ? "denied" : "allowed"), make("span", { class: "what" }, says.filter(Boolean).join(" · ") || "–"));
  });
}

function noLines(state, title, how) {
  return state.logs.length === 0
    ? missing("No log is read.", "Start the page with ", code("--log FILE"), ", the file that Envoy’s access log is written to.")
    : missing(title, ...how);
}

function showPersonal(state) {
  const parent = byId("flows");
  const rowsOf = state.personal?.flows.rows ?? [];
  if (!state.personal || rowsOf.length === 0) {
    slot(parent, state.personal ? "none" : "off", () => (state.personal
      ? missing("No personal data was found.", "Paths and queries are searched; ", code("flow.scan"), " of access-log adds cookies and bodies.")
      : missing("Where personal data flows is not measured.", "Load the filter ", code("access-log"), " first in the chain.")));
    return;
  }
  const sums = new Map();
  for (const flow of rowsOf) sums.set(flow.entity, (sums.get(flow.entity) ?? 0) + flow.count);
  const entities = [...sums].sort((one, other) => other[1] - one[1] || one[0].localeCompare(other[0])).map(([name]) => name);
  const most = Math.max(...rowsOf.map((flow) => flow.count));
  const columns = [{ label: "route", cell: (row, cell) => { slot(cell, "code", () => code("")); text(cell.firstChild, row.route); } }];
  for (const entity of entities) {
    columns.push({ label: entity.replaceAll("_", " "), num: true, cell: (row, cell) => {
      const flows = row.flows.filter((flow) => flow.entity === entity);
      const sum = flows.reduce((all, flow) => all + flow.count, 0);
      slot(cell, "heat", () => [make("span"), make("small", { class: "parts" })]);
      cell.firstChild.dataset.number = `flow/${row.route}/${entity}`;
      text(cell.firstChild, sum > 0 ? count(sum) : "–");
      text(cell.lastChild, flows.map((flow) => (flow.is_new ? `${flow.part}, new` : flow.part)).join(", "));
      const heat = sum === 0 ? 0 : sum > most / 2 ? 3 : sum > most / 10 ? 2 : 1;
      attribute(cell, "class", `num heat h${heat}${sum === 0 ? " zero none" : ""}`);
    } });
  }
  slot(parent, `table ${entities.join()}`, () => [
    make("div", { class: "head" }, make("h3", {}, "What was found, by route"), make("span", { class: "muted small" }, "and where in the request")),
    table("Personal data by route", columns), make("p", { class: "muted small" }),
  ]);
  const routes = [...new Set(rowsOf.map((flow) => flow.route))].map((route) => ({ route, flows: rowsOf.filter((flow) => flow.route === route) }));
  rows(parent.children[1], columns, routes, (row) => row.route);
  more(parent.lastChild, state.personal.flows.more, "row", "rows");
}

// What stands for personal data is marked: `[EMAIL]`, `****1111`.
function redacted(value) {
  const node = make("code", {});
  for (const part of value.split(/(\[[A-Z][A-Z0-9_]*(?::[^\]]*)?\]|[^\s/&?=]*\*{2,}[^\s/&?=]*)/)) {
    if (part) node.append(/^\[|\*\*/.test(part) ? make("mark", {}, part) : part);
  }
  return node;
}

function showLog(state) {
  const parent = byId("records");
  const head = () => make("div", { class: "head" }, make("h3", {}, "Records, as they come"), make("span", { class: "muted small" }));
  if (state.access.length === 0) {
    slot(parent, state.logs.length ? "none" : "off", () => [head(), noLines(state, "No record of access-log yet.",
      ["Let an access log print ", code("%FILTER_STATE(wasm.outrigger.log:PLAIN)%"), " with the field ", code("route_template"), ", and send a request."])]);
  } else {
    slot(parent, "list", () => [head(), make("ol", { class: "lines scroll", tabindex: "0", "aria-label": "Records" })]);
    children(parent.lastChild, state.access, (line) => line.id, (line) => {
      const kind = line.status >= 500 ? "bad" : line.status >= 400 ? "warn" : "good";
      const tags = [...line.arms.map(([experiment, arm]) => make("span", { class: "chip accent" }, `${experiment} ${arm}`)),
        ...line.found.map(([entity, found]) => make("span", { class: "chip" }, `${entity.replaceAll("_", " ")} ${found}`))];
      const at = /T(\d\d:\d\d:\d\d)/.exec(line.time);
      return make("li", {}, make("span", { class: "muted small" }, at ? at[1] : ""), make("span", {}, make("span", { class: `chip ${kind}` }, line.status == null ? "–" : String(line.status))),
        make("span", { class: "what" }, `${line.method} `, redacted(line.query ? `${line.path}?${line.query}` : line.path)),
        make("span", { class: "tags" }, ...tags, line.duration_ms == null ? null : make("span", { class: "muted small" }, time(line.duration_ms))));
    });
  }
  const sum = (name) => state.logs.reduce((all, log) => all + log.counts[name], 0);
  const says = state.logs.length === 0 ? "" : [plural(sum("access"), "record", "records"),
    sum("empty") ? `${plural(sum("empty"), "line", "lines")} without one` : null,
    sum("others") ? `${plural(sum("others"), "line is", "lines are")} not ours and not shown` : null,
    sum("skipped_bytes") ? `${tenth.format(sum("skipped_bytes") / 1e6)} MB skipped: the file grows faster than it is read` : null,
    sum("rotations") ? `rotated ${plural(sum("rotations"), "time", "times")}` : null,
    `read from ${state.logs.map((log) => log.path.split("/").at(-1)).join(", ")}`].filter(Boolean).join(" · ");
  text(parent.querySelector(".head .muted"), says);
  const own = byId("own");
  const title = () => make("div", { class: "head" }, make("h3", {}, "What filters say themselves"));
  if (state.own.length === 0) {
    slot(own, state.logs.length ? "none" : "off", () => [title(), noLines(state, "Nothing.", ["Add the file of Envoy’s own log as another ", code("--log"), " to see what filters write there."])]);
    return;
  }
  slot(own, "list", () => [title(), make("ol", { class: "lines plain scroll", tabindex: "0", "aria-label": "Lines of filters" })]);
  children(own.lastChild, state.own, (line) => line.id, (line) => {
    const kind = line.level === "error" || line.level === "critical" ? "bad" : line.level === "warning" ? "warn" : "";
    return make("li", {}, make("span", { class: `chip ${kind}` }, line.level), make("span", { class: "what" }, make("span", { class: "muted" }, `${line.plugin} `), line.text));
  });
}

const HEALTH = { running: ["good", "running"], reloaded: ["warn", "loaded again"], failing: ["bad", "failing"], silent: ["", "silent"], other: ["", "not ours"] };

function showFilters(state) {
  const list = state.filters.length ? state.filters : [{ name: "" }];
  const create = (filter) => {
    if (!filter.name) return make("li", { class: "filter" }, missing("No plugin.", "Envoy’s configuration has no Wasm filter, or could not be read yet."));
    return make("li", { class: "filter" }, make("div", { class: "head" }, make("h3", {}, filter.kind ?? filter.name), make("span", { class: "chip" })),
      make("p", { class: "small muted" }), make("p", { class: "small" }), make("ul"));
  };
  children(byId("plugins"), list, (filter) => filter.name, create, (node, filter) => {
    if (!filter.name) return;
    const [kind, label] = HEALTH[filter.health];
    attribute(node.querySelector(".chip"), "class", `chip ${kind}`);
    text(node.querySelector(".chip"), label);
    text(node.children[1], [filter.name, filter.module, filter.failure_policy].filter(Boolean).join(" · "));
    text(node.children[2], filter.says);
    children(node.children[3], filter.signals, (signal) => signal.says, (signal) => make("li", {}, make("b"), make("span", {}, signal.says)),
      (item, signal) => text(item.firstChild, count(signal.count)));
  });
}

// ---- The loop

let isPaused = false;
let isShown = false;
let isLost = false;

function show(state) {
  // Of an Envoy that never answered nothing is known but what the logs say.
  document.body.classList.toggle("unknown", !state.envoy.version);
  showEnvoy(state);
  showProblems(problems(state));
  showTiles(state);
  showTraffic(state);
  showExperiments(state);
  showPolicy(state);
  showPersonal(state);
  showLog(state);
  showFilters(state);
  // Only now is the section there that the address names.
  if (!isShown && location.hash) byId(location.hash.slice(1))?.scrollIntoView();
  isShown = true;
  mark();
}

async function look() {
  if (!isPaused && !document.hidden) {
    try {
      const answer = await fetch("state.json", { cache: "no-store", signal: AbortSignal.timeout(5000) });
      show(await answer.json());
      isLost = false;
    } catch (error) {
      if (!isLost && !(error instanceof TypeError) && error.name !== "TimeoutError") console.error(error);
      isLost = true;
      showProblems([{ kind: "bad", title: "The page’s own server does not answer.", says: "Start outrigger ui again; this page goes on by itself." }]);
      text(byId("pill"), "no answer");
      attribute(byId("pill"), "class", "chip bad");
    }
  }
  setTimeout(look, PERIOD);
}

// Which section is being read, in the navigation.
function mark() {
  const links = [...document.querySelectorAll("nav a")];
  const sections = links.map((link) => byId(link.hash.slice(1)));
  const isAtEnd = scrollY > 0 && innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
  const passed = sections.findLastIndex((section) => section.getBoundingClientRect().top < innerHeight / 4);
  const current = isAtEnd ? sections.length - 1 : Math.max(passed, 0);
  links.forEach((link, place) => {
    const isNew = place === current && !link.hasAttribute("aria-current");
    attribute(link, "aria-current", place === current ? "true" : null);
    if (isNew) link.closest("nav").scrollLeft = link.offsetLeft - 32;
  });
}

function begin() {
  const pause = byId("pause");
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    attribute(pause, "aria-pressed", String(isPaused));
  });
  const themes = ["auto", "light", "dark"];
  const theme = byId("theme");
  const choose = (name) => {
    attribute(document.documentElement, "data-theme", name === "auto" ? null : name);
    text(theme, `Theme: ${name}`);
    theme.value = name;
  };
  const kept = () => {
    try { return localStorage.getItem("theme"); } catch { return null; }
  };
  choose(themes.includes(kept()) ? kept() : "auto");
  theme.addEventListener("click", () => {
    choose(themes[(themes.indexOf(theme.value) + 1) % themes.length]);
    try { localStorage.setItem("theme", theme.value); } catch { /* The choice lasts as long as the page. */ }
  });
  addEventListener("scroll", mark, { passive: true });
  look();
}

begin();
