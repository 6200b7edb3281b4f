// The live search page. One socket carries the standing query; everything that comes from the
// index reaches the document through textContent alone.

const MAX_ROWS = 100;
const MAX_HELD = 400;
const TYPING_MS = 180;
const STATS_MS = 1000;
const COUNT_MS = 1500;
const LEAVE_MS = 650;
const POINTS = 90;
const SNIPPET_CHARS = 220;
const MAX_CHIPS = 5;
const RETRY_MS = [300, 600, 1200, 2500, 5000, 8000];
const TITLES = ["title", "name", "subject", "headline", "summary", "message"];
const BODIES = ["text", "body", "content", "description", "details", "abstract", "message"];

const $ = (id) => document.getElementById(id);
const el = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};
const whole = new Intl.NumberFormat("en");
const show = (n) => (n >= 100 || Number.isInteger(n) ? whole.format(Math.round(n)) : n.toPrecision(2));

// --- matched words -----------------------------------------------------------------------
const WORD = /\p{Script=Han}|\p{Script=Hiragana}|[\p{L}\p{M}\p{N}_]+(?:['’.][\p{L}\p{N}]+)*/gu;

/** Return a test for the words that a query asks for: prefixes and wildcards included, negated
 * clauses left out, endings of English words taken off on both sides. */
function wordTest(query) {
  const exact = new Set();
  const patterns = [];
  const clauses = query.match(/[-+!]?(?:[\w.*]+:)?(?:"[^"]*"|[[{][^\]}]*[\]}]|[^\s()]+)/g) || [];
  let isNot = false;
  for (const clause of clauses) {
    if (["AND", "OR", "&&", "||"].includes(clause)) continue;
    if (clause === "NOT") { isNot = true; continue; }
    const isOut = isNot || /^[-!]/.test(clause);
    isNot = false;
    const text = clause.replace(/^[-+!]/, "").replace(/^[\w.*]+:/, "").replace(/[~^][\d.]*$/, "");
    if (isOut || /^[[{<>]/.test(text)) continue;
    if (/[*?]/.test(text) && !text.startsWith('"')) {
      const source = text.toLowerCase().replace(/[.+^${}()|[\]\\"]/g, "\\$&").replace(/\*+/g, ".*").replace(/\?/g, ".");
      if (/[^.*]/.test(source)) patterns.push(new RegExp(`^${source}$`, "u"));
      continue;
    }
    for (const word of text.match(WORD) || []) exact.add(stem(word.toLowerCase()));
  }
  if (!exact.size && !patterns.length) return null;
  return (word) => {
    const lower = word.toLowerCase();
    return exact.has(stem(lower)) || patterns.some((pattern) => pattern.test(lower));
  };
}

const stem = (word) =>
  word.length > 4 ? word.replace(/(?:'s|’s)$/, "").replace(/(?:ies|ing|ed|es|s|y)$/, "") : word;

/** Put `text` into `node`, matched words as <mark>. */
function putMarked(node, text, isMatch) {
  node.replaceChildren();
  if (!isMatch) { node.textContent = text; return; }
  let from = 0;
  for (const found of text.matchAll(WORD)) {
    if (!isMatch(found[0])) continue;
    if (found.index > from) node.append(text.slice(from, found.index));
    node.append(el("mark", "", found[0]));
    from = found.index + found[0].length;
  }
  if (from < text.length) node.append(text.slice(from));
}

/** Return the part of `text` around its first matched word. */
function excerpt(text, isMatch) {
  const flat = text.replace(/\s+/g, " ").trim();
  if (flat.length <= SNIPPET_CHARS) return flat;
  let at = 0;
  if (isMatch) for (const found of flat.matchAll(WORD)) if (isMatch(found[0])) { at = found.index; break; }
  let from = Math.max(0, at - 80);
  if (from > 0) from = flat.indexOf(" ", from) + 1 || from;
  let to = from + SNIPPET_CHARS;
  if (to < flat.length) to = Math.max(flat.lastIndexOf(" ", to), from + SNIPPET_CHARS / 2);
  return (from > 0 ? "… " : "") + flat.slice(from, to) + (to < flat.length ? " …" : "");
}

// --- one row -----------------------------------------------------------------------------
const isText = (value) => typeof value === "string" && value.trim() !== "";

function pickFields(source, isMatch) {
  const fields = source && typeof source === "object" ? source : {};
  const texts = Object.keys(fields).filter((name) => isText(fields[name]));
  const title = TITLES.find((name) => isText(fields[name]) && fields[name].length <= 200);
  const longest = texts.filter((n) => n !== title).sort((a, b) => fields[b].length - fields[a].length)[0];
  const body = BODIES.find((name) => name !== title && isText(fields[name])) ||
    (longest && fields[longest].length > 40 ? longest : undefined);
  const chips = [];
  for (const [name, value] of Object.entries(fields)) {
    if (name === title || name === body) continue;
    const plain = [value].flat().filter((v) => v !== null && v !== "" && typeof v !== "object").map(String);
    // What matched comes first: it is why the document is here.
    const matching = isMatch ? plain.filter((v) => (v.match(WORD) || []).some(isMatch)) : [];
    const shown = (matching.length ? matching : plain).slice(0, 3).join(", ");
    if (shown && (matching.length || shown.length <= 48)) chips.push({ text: `${name}: ${shown}`, isMatching: matching.length > 0 });
  }
  chips.sort((a, b) => b.isMatching - a.isMatching);
  return { title: title && fields[title], body: body && fields[body], chips: chips.slice(0, MAX_CHIPS).map((chip) => chip.text) };
}

class Row {
  constructor(id) {
    this.id = id;
    this.node = el("li", "hit");
    this.node.tabIndex = -1;
    this.head = el("h3");
    this.badge = el("span", "badge");
    this.badge.hidden = true;
    this.time = el("time", "when");
    const headline = el("div", "hit-head");
    headline.append(this.head, this.time);
    this.snippet = el("p", "snippet");
    this.chips = el("div", "chips");
    this.details = el("details");
    this.json = el("pre");
    this.details.append(el("summary", "", "whole document"), this.json);
    this.details.addEventListener("toggle", () => this.putJson());
    this.node.append(headline, this.snippet, this.chips, this.details);
  }

  fill(source, isMatch) {
    this.source = source;
    const { title, body, chips } = pickFields(source, isMatch);
    putMarked(this.head, title || this.id, isMatch);
    putMarked(this.snippet, body ? excerpt(body, isMatch) : "", isMatch);
    this.snippet.hidden = !body;
    this.chips.replaceChildren(el("span", "chip id", this.id));
    for (const text of chips) {
      const chip = el("span", "chip");
      putMarked(chip, text, isMatch);
      this.chips.append(chip);
    }
    this.putJson();
  }

  putJson() {
    if (this.details.open) this.json.textContent = JSON.stringify(this.source, null, 2);
  }

  flash(kind) {
    this.arrived = Date.now();
    this.node.classList.remove("entered", "changed");
    void this.node.offsetWidth; // restarts the animation
    this.node.classList.add(kind, "fresh");
    this.badge.textContent = kind === "entered" ? "new" : "changed";
    this.badge.hidden = false;
    this.head.prepend(this.badge);
    this.tick();
  }

  tick() {
    if (!this.arrived) return;
    const seconds = Math.round((Date.now() - this.arrived) / 1000);
    this.time.textContent = seconds < 2 ? "just now" : seconds < 90 ? `${seconds} s ago` : `${Math.round(seconds / 60)} min ago`;
    if (seconds > 12) { this.node.classList.remove("fresh"); this.badge.hidden = true; }
  }
}

// --- the list ----------------------------------------------------------------------------
class List {
  constructor() {
    this.rows = new Map();
    this.held = [];
    this.isPaused = false;
    this.queue = [];
    this.isDrawing = false;
    this.entered = 0;
    this.left = 0;
    this.unsaid = 0;
    this.isMatch = null;
  }

  reset(hits, isMatch) {
    const old = this.rows;
    this.isMatch = isMatch;
    this.rows = new Map();
    this.queue = [];
    this.held = [];
    this.showHeld();
    const nodes = [];
    for (const hit of hits) {
      const row = old.get(hit._id) || new Row(hit._id);
      row.node.classList.remove("leaving", "entered", "changed");
      row.fill(hit._source, isMatch);
      this.rows.set(hit._id, row);
      nodes.push(row.node);
    }
    $("results").replaceChildren(...nodes);
    this.showEmpty();
  }

  take(frame) {
    if (this.isPaused) {
      this.held.push(frame);
      if (this.held.length > MAX_HELD) this.held.shift();
      this.showHeld();
      return;
    }
    this.queue.push(frame);
    if (this.queue.length > MAX_HELD) this.queue.shift();
    if (this.isDrawing) return;
    this.isDrawing = true;
    // A hidden tab gets no animation frames: a timer lets it keep up all the same.
    const draw = () => { this.isDrawing = false; this.draw(); };
    document.hidden ? setTimeout(draw, 250) : requestAnimationFrame(draw);
  }

  draw() {
    const frames = this.queue;
    this.queue = [];
    for (const frame of frames) frame.type === "hit" ? this.put(frame) : this.remove(frame._id);
    while (this.rows.size > MAX_ROWS) this.dropLast();
    $("entered").textContent = whole.format(this.entered);
    $("left").textContent = whole.format(this.left);
    this.showEmpty();
  }

  put(frame) {
    const old = this.rows.get(frame._id);
    if (old && !old.node.classList.contains("leaving")) {
      old.fill(frame._source, this.isMatch);
      old.flash("changed");
      return;
    }
    if (old) old.node.remove();
    const row = new Row(frame._id);
    row.fill(frame._source, this.isMatch);
    this.rows.delete(frame._id);
    this.rows.set(frame._id, row);
    $("results").prepend(row.node);
    row.flash("entered");
    this.entered += 1;
    this.unsaid += 1;
  }

  remove(id) {
    const row = this.rows.get(id);
    this.left += 1;
    if (!row) return;
    if (row.node.contains(document.activeElement)) $("results").focus({ preventScroll: true });
    row.node.classList.add("leaving");
    setTimeout(() => {
      row.node.remove();
      if (this.rows.get(id) === row) this.rows.delete(id);
      this.showEmpty();
    }, LEAVE_MS);
  }

  dropLast() {
    const last = $("results").lastElementChild;
    for (const [id, row] of this.rows) if (row.node === last) this.rows.delete(id);
    last.remove();
  }

  setPaused(isPaused) {
    this.isPaused = isPaused;
    $("pause").setAttribute("aria-pressed", String(isPaused));
    $("pause-text").textContent = isPaused ? "Go on" : "Pause";
    if (isPaused) return;
    const held = this.held;
    this.held = [];
    this.showHeld();
    for (const frame of held) this.take(frame);
  }

  showHeld() {
    const n = this.held.length;
    $("held").hidden = n === 0;
    $("held").textContent = n >= MAX_HELD ? `more than ${n} changes wait: show them` : `${n} ${n === 1 ? "change waits: show it" : "changes wait: show them"}`;
  }

  showEmpty() {
    const isEmpty = this.rows.size === 0 && live.hasSnapshot;
    $("empty").hidden = !isEmpty;
    if (!isEmpty) return;
    $("empty-title").textContent = "Nothing matches yet. A document that does will appear here by itself.";
    $("empty-code").hidden = true;
  }

  tick() {
    for (const row of this.rows.values()) row.tick();
    if (this.unsaid && Date.now() - (this.saidAt || 0) > 5000) {
      $("announce").textContent = `${this.unsaid} new ${this.unsaid === 1 ? "hit" : "hits"}`;
      this.unsaid = 0;
      this.saidAt = Date.now();
    }
  }
}

// --- the socket --------------------------------------------------------------------------
class Live {
  constructor() {
    this.socket = null;
    this.index = "";
    this.query = "";
    this.number = 0;
    this.token = null;
    this.hasSnapshot = false;
    this.n_failures = 0;
    this.retry = null;
    this.needsCount = false;
  }

  get id() { return `q${this.number}`; }

  /** Search `query` in `index` from now on. */
  search(index, query) {
    const isSameIndex = index === this.index;
    if (isSameIndex && query === this.query && this.socket) return;
    const old = this.id;
    this.index = index;
    this.query = query;
    this.token = null;
    this.hasSnapshot = false;
    this.number += 1;
    problem("");
    if (!isSameIndex || !this.isOpen) { this.connect(); return; }
    if (this.isSubscribed) this.send({ op: "unsubscribe", id: old });
    this.subscribe();
  }

  get isOpen() { return this.socket && this.socket.readyState === WebSocket.OPEN; }

  connect() {
    clearTimeout(this.retry);
    if (this.socket) this.socket.onclose = this.socket.onmessage = null, this.socket.close();
    if (!this.index) return;
    state("connecting", "connecting");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/${encodeURIComponent(this.index)}/_live`);
    this.socket = socket;
    this.isSubscribed = false;
    socket.onopen = () => this.subscribe();
    socket.onmessage = (event) => this.take(JSON.parse(event.data));
    socket.onclose = () => this.reconnect();
  }

  reconnect() {
    this.socket = null;
    this.isSubscribed = false;
    const wait = RETRY_MS[Math.min(this.n_failures, RETRY_MS.length - 1)] * (0.8 + Math.random() * 0.4);
    this.n_failures += 1;
    state("lost", `reconnecting in ${Math.max(1, Math.round(wait / 1000))} s`);
    this.retry = setTimeout(() => this.connect(), wait);
  }

  send(frame) {
    if (this.isOpen) this.socket.send(JSON.stringify(frame));
  }

  subscribe() {
    const frame = { op: "subscribe", id: this.id, snapshot: 30 };
    if (this.query) frame.q = this.query; else frame.query = { match_all: {} };
    if (this.token && this.hasSnapshot) frame.after = this.token;
    this.isSubscribed = true;
    this.send(frame);
    if (frame.after) { this.count(); state("live", "live, resumed"); }
  }

  /** Ask for the exact total: single changes do not say whether they are new or an update. */
  count() {
    const query = this.query ? { query_string: { query: this.query } } : { match_all: {} };
    this.send({ op: "search", id: `count-${this.number}`, body: { query, size: 0, track_total_hits: true } });
    this.needsCount = false;
  }

  take(frame) {
    if (frame.id === `count-${this.number}`) {
      if (frame.type === "result") putTotal(frame.hits.total.value);
      return;
    }
    if (frame.id !== this.id) return;
    if (frame.token) this.token = frame.token;
    if (frame.type === "snapshot") {
      this.hasSnapshot = true;
      this.n_failures = 0;
      state("live", "live");
      $("results").classList.remove("stale");
      list.reset(frame.hits, wordTest(this.query));
      putTotal(frame.total);
    } else if (frame.type === "hit" || frame.type === "leave") {
      this.n_failures = 0;
      list.take(frame);
      this.needsCount = true;
    } else if (frame.type === "gap") {
      $("activity").textContent = "catching up";
      setTimeout(() => { $("activity").textContent = ""; }, 3000);
    } else if (frame.type === "error") {
      this.fail(frame);
    }
  }

  fail(frame) {
    this.isSubscribed = false;
    if (this.token && this.hasSnapshot) { // a token of an index that is no more: begin anew
      this.token = null;
      this.hasSnapshot = false;
      this.number += 1;
      this.subscribe();
      return;
    }
    if (frame.status === 404 || frame.status >= 500) { this.reconnect(); return; }
    state("live", "live");
    problem(frame.reason); // what was found before stays, paler: half a query is often a wrong one
    $("results").classList.add("stale");
    putTotal(null);
  }
}

function state(name, text) {
  $("connection").dataset.state = name;
  $("connection-text").textContent = text;
}

function problem(text) {
  $("query-problem").hidden = !text;
  $("query-problem").textContent = text;
  $("query").setAttribute("aria-invalid", String(Boolean(text)));
}

function putTotal(n) {
  $("total").textContent = n === null ? "–" : whole.format(n);
  $("total-text").textContent = n === 1 ? "document matches" : "documents match";
}

// --- plots -------------------------------------------------------------------------------
class Plot {
  constructor(node, names) {
    this.node = node;
    this.series = names.map(() => []);
    this.paths = names.map((name) => this.add("path", `line ${name}`));
    this.area = this.add("path", "area");
    const base = this.add("line", "base");
    for (const [key, value] of Object.entries({ x1: 0, x2: 240, y1: 55.5, y2: 55.5 })) base.setAttribute(key, value);
  }

  add(tag, className) {
    const part = document.createElementNS("http://www.w3.org/2000/svg", tag);
    part.setAttribute("class", className);
    this.node.append(part);
    return part;
  }

  push(values, label) {
    values.forEach((value, i) => {
      this.series[i].push(value);
      if (this.series[i].length > POINTS) this.series[i].shift();
    });
    const top = Math.max(1e-9, ...this.series.flat().filter((v) => v !== null)) * 1.12;
    this.series.forEach((points, i) => this.paths[i].setAttribute("d", this.path(points, top)));
    const first = this.path(this.series[0], top);
    const parts = first.split("M").filter(Boolean).map((part) => {
      const xs = part.split("L").map((point) => point.split(" ")[0]);
      return `M${xs[0]} 56L${part}L${xs[xs.length - 1]} 56Z`;
    });
    this.area.setAttribute("d", parts.join(""));
    this.node.setAttribute("aria-label", label);
  }

  path(points, top) {
    let text = "";
    let isDown = false;
    points.forEach((value, i) => {
      if (value === null) { isDown = false; return; }
      const x = 240 - ((points.length - 1 - i) * 240) / (POINTS - 1);
      text += `${isDown ? "L" : "M"}${x.toFixed(1)} ${(54 - (value / top) * 50).toFixed(1)}`;
      isDown = true;
    });
    return text;
  }
}

let lastTotal = null;

async function readFreshness() {
  if (!live.index) return;
  const answer = await (await fetch("/_freshness")).json();
  const series = answer.indexes[live.index] || {};
  const fresh = series.produced && series.produced.documents ? series.produced : series.consumed;
  const total = series.consumed ? series.consumed.total : 0;
  const now = performance.now();
  const isSame = lastTotal && lastTotal.index === live.index;
  const rate = isSame ? Math.max(0, ((total - lastTotal.total) * 1000) / (now - lastTotal.at)) : 0;
  lastTotal = { index: live.index, total, at: now };
  if (!isSame) return;
  $("rate").textContent = show(rate);
  ratePlot.push([rate], `${show(rate)} documents a second`);
  const has = fresh && fresh.p50_ms !== null;
  $("p50").textContent = has ? show(fresh.p50_ms) : "–";
  $("p99").textContent = has ? show(fresh.p99_ms) : "–";
  freshPlot.push(
    has ? [fresh.p50_ms, fresh.p99_ms] : [null, null],
    has ? `median ${show(fresh.p50_ms)}, p99 ${show(fresh.p99_ms)} milliseconds` : "no documents in the last seconds",
  );
}

async function readIndexes() {
  const rows = await (await fetch("/_cat/indices?format=json&h=index,docs.count&s=index")).json();
  const names = rows.map((row) => row.index);
  const select = $("index");
  const shown = [...select.options].map((option) => option.value);
  if (names.join("\n") !== shown.join("\n")) {
    const wanted = live.index || address().index;
    select.replaceChildren(...names.map((name) => new Option(name, name)));
    if (names.includes(wanted)) select.value = wanted;
    else if (names.length) select.value = [...rows].sort((a, b) => b["docs.count"] - a["docs.count"])[0].index;
  }
  const row = rows.find((r) => r.index === select.value);
  $("docs").textContent = row ? whole.format(row["docs.count"]) : "–";
  if (!names.length) { showNoIndex(); return; }
  if (select.value !== live.index) begin();
}

function showNoIndex() {
  state("connecting", "waiting for an index");
  $("empty").hidden = false;
  $("empty-title").textContent = "There is no index yet. Send a first document:";
  $("empty-code").hidden = false;
  $("empty-code").textContent = `curl -XPOST ${location.origin}/articles/_doc -H 'Content-Type: application/json' -d '{"title": "hello, stream"}'`;
}

// --- together ----------------------------------------------------------------------------
function address() {
  const given = new URLSearchParams(location.hash.slice(1));
  return { query: given.get("q") || "", index: given.get("index") || "" };
}

function begin() {
  const query = $("query").value.trim();
  const index = $("index").value;
  if (!index) return;
  history.replaceState(null, "", `#${new URLSearchParams({ q: query, index })}`);
  document.title = query ? `${query} · Tailrace` : "Tailrace: live search";
  if (index !== live.index) list.reset([], null);
  live.search(index, query);
}

function every(ms, work) {
  let isBusy = false;
  const run = async () => {
    if (isBusy || document.hidden) return;
    isBusy = true;
    try { await work(); } catch { /* the server is away: the next turn tries again */ }
    isBusy = false;
  };
  run();
  setInterval(run, ms);
}

const THEMES = { auto: "◐", light: "☀", dark: "☾" };

function setTheme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  $("theme").textContent = THEMES[name];
  const label = `Colours: ${name === "auto" ? "automatic" : name}`;
  $("theme").setAttribute("aria-label", label);
  $("theme").title = label;
  try { localStorage.setItem("theme", name); } catch { /* private mode: it lasts as long as the page */ }
}

function move(step) {
  const rows = [...$("results").children];
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const next = rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + step))];
  if (next) next.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
  if (isTyping) {
    if (event.key === "Escape" && event.target === $("query")) { event.target.value = ""; begin(); }
    return;
  }
  if (event.key === "/") { event.preventDefault(); $("query").select(); }
  else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "p") list.setPaused(!list.isPaused);
  else if (event.key === "Enter" && event.target.classList.contains("hit")) {
    const details = event.target.querySelector("details");
    details.open = !details.open;
  }
});

const live = new Live();
const list = new List();
const ratePlot = new Plot($("rate-plot"), [""]);
const freshPlot = new Plot($("fresh-plot"), ["", "tail"]);

let typing = null;
$("query").value = address().query;
$("query").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(begin, TYPING_MS); });
$("search").addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(typing); begin(); });
$("index").addEventListener("change", begin);
$("pause").addEventListener("click", () => list.setPaused(!list.isPaused));
$("held").addEventListener("click", () => list.setPaused(false));
$("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  const now = document.documentElement.dataset.theme || "auto";
  setTheme(names[(names.indexOf(now) + 1) % names.length]);
});
addEventListener("online", () => live.connect());
let theme = "auto";
try { theme = localStorage.getItem("theme") || "auto"; } catch { /* as above */ }
setTheme(theme in THEMES ? theme : "auto");
every(STATS_MS, readFreshness);
every(3000, readIndexes);
setInterval(() => list.tick(), 1000);
setInterval(() => { if (live.needsCount && live.hasSnapshot) live.count(); }, COUNT_MS);
