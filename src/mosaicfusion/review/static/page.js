// The review page: a sheet of objects of which only those in sight exist, and verdicts by key, click and frame.
import { ask, say } from "./ask.js";

const CELL = { width: 160, height: 188 }, PAGE = 200;
const WORDS = { accept: "accepted", reject: "rejected", wrong_mask: "mask wrong", relabel: "relabelled", conflict: "disagreed" };
const find = (id) => document.getElementById(id);
const sheet = find("sheet"), space = find("space"), filters = find("filters");
let total = 0, pages = new Map(), at = 0, anchor = 0, chosen = new Set(), generation = 0, state = {};

function many(count, word) { return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`; }
function readable(name) { return name.replace(/_\(/g, " (").replace(/_/g, " "); }

function query() {
  const values = new FormData(filters), result = {};
  for (const name of ["category", "show", "verdict", "sort", "order", "least", "most"]) result[name] = values.get(name) ?? "";
  return result;
}

async function refreshState() {
  state = await ask("/api/state");
  const said = Object.entries(state.verdicts).filter(([word]) => word !== "none");
  const parts = said.map(([word, count]) => `${count.toLocaleString("en")} ${WORDS[word]}`);
  const canvases = state.canvases < state.planned ? `${state.canvases} of ${many(state.planned, "canvase")}` : many(state.canvases, "canvase");
  find("counts").textContent = [canvases.replace("1 canvase", "1 canvas"), many(state.objects, "object"), ...parts].join(" · ");
  fill(filters.elements.category, state.categories);
  const reasons = Object.keys(state.reasons).filter((name) => name !== "kept");
  for (const name of reasons) if (![...filters.elements.show.options].some((one) => one.value === name))
    filters.elements.show.add(new Option(state.reason_names[name], name));
}

function fill(select, names) {
  if (select.options.length > 1) return;
  for (const name of [...names].sort()) select.add(new Option(readable(name), name));
}

const fetchPage = (number) => ask(`/api/objects?${new URLSearchParams({ ...query(), offset: number * PAGE, limit: PAGE })}`);

// What is shown stays until the answer is there, so that a key always means what is in sight.
async function load() {
  const mine = ++generation, found = await fetchPage(0);
  if (mine !== generation) return;
  pages = new Map([[0, found.rows]]);
  total = found.total; at = 0; anchor = 0; chosen.clear(); sheet.scrollTop = 0;
  layOut();
  choose(0);
}

async function page(number) {
  if (pages.has(number)) return;
  pages.set(number, null);
  const mine = generation, found = await fetchPage(number);
  if (mine !== generation) return;
  pages.set(number, found.rows);
  layOut();
}

const row = (index) => pages.get(Math.floor(index / PAGE))?.[index % PAGE];
const across = () => Math.max(1, Math.floor(sheet.clientWidth / CELL.width));

function layOut() {
  const columns = across(), first = Math.max(0, Math.floor(sheet.scrollTop / CELL.height) - 1) * columns;
  const last = Math.min(total, first + (Math.ceil(sheet.clientHeight / CELL.height) + 3) * columns);
  space.style.height = `${Math.ceil(total / columns) * CELL.height}px`;
  for (let number = Math.floor(first / PAGE); number <= Math.floor(Math.max(first, last - 1) / PAGE); number++) if (total) page(number);
  const cells = new Map([...space.querySelectorAll(".object")].map((cell) => [Number(cell.dataset.index), cell]));
  space.querySelector(".empty")?.remove();
  if (!total) {
    const note = document.createElement("p");
    note.className = "empty"; note.textContent = "No object fits these filters.";
    space.append(note); find("detail").replaceChildren();
  }
  for (const [index, cell] of cells) if (index < first || index >= last) cell.remove();
  for (let index = first; index < last; index++) {
    const one = row(index);
    if (!one) { cells.get(index)?.remove(); continue; }
    const cell = cells.get(index) ?? space.appendChild(document.createElement("div"));
    paint(cell, one, index, columns);
  }
  sheet.setAttribute("aria-activedescendant", total ? `object-${at}` : "");
}

function paint(cell, one, index, columns) {
  cell.id = `object-${index}`;
  cell.dataset.index = index;
  cell.className = `object ${one.verdict} ${chosen.has(index) ? "chosen" : ""}`;
  cell.setAttribute("role", "option");
  cell.setAttribute("aria-selected", chosen.has(index));
  cell.style.left = `${(index % columns) * CELL.width}px`;
  cell.style.top = `${Math.floor(index / columns) * CELL.height}px`;
  const source = `/thumbnail/${one.canvas}/${one.region}${filters.elements.masks.checked ? "?mask" : ""}`;
  const sort = filters.elements.sort.value, value = sort === "canvas" ? one.quality : one[sort];
  const name = readable(one.relabelled ?? one.category), shown = value === null ? "" : value.toFixed(2);
  const word = WORDS[one.verdict] ?? "", reason = one.reason === "kept" ? "" : state.reason_names?.[one.reason] ?? one.reason;
  const key = [source, name, shown, word, reason].join("|");
  cell.setAttribute("aria-label", [name, `canvas ${one.canvas}`, shown && `${sort === "canvas" ? "quality" : sort} ${shown}`, reason, word].filter(Boolean).join(", "));
  if (cell.dataset.key === key) return;
  cell.dataset.key = key;
  const image = document.createElement("img"), title = document.createElement("span"), mark = document.createElement("span"), number = document.createElement("span");
  image.src = source; image.alt = ""; image.draggable = false; image.loading = "lazy";
  title.className = "name"; title.textContent = name; title.title = name;
  mark.className = "word"; mark.textContent = word;
  number.className = "value"; number.textContent = reason || shown;
  cell.replaceChildren(image, title, mark, number);
}

function choose(index, extend = false, add = false) {
  if (!total) return;
  at = Math.max(0, Math.min(total - 1, index));
  if (!extend) anchor = at;
  if (!add) chosen.clear();
  for (let k = Math.min(anchor, at); k <= Math.max(anchor, at); k++) chosen.add(k);
  const top = Math.floor(at / across()) * CELL.height;
  if (top < sheet.scrollTop) sheet.scrollTop = top;
  if (top + CELL.height > sheet.scrollTop + sheet.clientHeight) sheet.scrollTop = top + CELL.height - sheet.clientHeight;
  layOut();
  showDetail();
}

let shown = 0;
async function showDetail() {
  const one = row(at), mine = ++shown;
  if (!one) return;
  const about = await ask(`/api/canvas/${one.canvas}`);
  if (mine !== shown) return;
  const picture = canvasPicture(about, one.region), list = document.createElement("ul"), title = document.createElement("h2");
  title.textContent = `Canvas ${about.canvas}`;
  about.objects.forEach((object, k) => {
    const item = document.createElement("li"), name = document.createElement("b"), value = document.createElement("span"), text = document.createElement("small");
    item.className = k === one.region ? "current" : "";
    name.textContent = readable(object.relabelled ?? object.category);
    value.textContent = [object.reason === "kept" ? (object.quality === null ? "" : object.quality.toFixed(2)) : state.reason_names[object.reason], WORDS[object.verdict]].filter(Boolean).join(" · ");
    text.textContent = [object.prompt, ...object.said.map((said) => `${said.who || "somebody"}: ${WORDS[said.verdict] ?? said.verdict}${said.why ? ` (${said.why})` : ""}`)].join(" — ");
    item.append(name, value, text); list.append(item);
  });
  find("detail").replaceChildren(title, picture, list);
}

function canvasPicture(about, region) {
  const box = document.createElement("div"), image = document.createElement("img");
  box.className = "canvas"; image.src = `/image/${about.canvas}`; image.alt = `canvas ${about.canvas}`;
  box.append(image);
  if (filters.elements.masks.checked) {
    const masks = document.createElement("img");
    masks.src = `/layer/${about.canvas}`; masks.alt = ""; box.append(masks);
  }
  const [left, top, width, height] = about.objects[region].box, frame = document.createElement("div"), [rows, columns] = about.hw;
  frame.className = "frame";
  Object.assign(frame.style, { left: `${(100 * left) / columns}%`, top: `${(100 * top) / rows}%`, width: `${(100 * width) / columns}%`, height: `${(100 * height) / rows}%` });
  box.append(frame);
  box.addEventListener("click", zoom);
  return box;
}

function zoom() {
  const picture = document.querySelector("#detail .canvas");
  if (!picture) return;
  find("large").querySelector("div").replaceChildren(picture.cloneNode(true));
  find("large").showModal();
}

function dialog(title, text, withWord, withCategory) {
  const box = find("ask"), form = box.querySelector("form");
  find("ask-title").textContent = title; find("ask-text").textContent = text;
  find("ask-word").hidden = !withWord; find("ask-category").hidden = !withCategory;
  if (withCategory && !form.elements.category.options.length) for (const name of [...state.categories].sort()) form.elements.category.add(new Option(readable(name), name));
  if (withCategory) form.elements.category.value = row(at).category;
  box.returnValue = "";
  box.showModal();
  return new Promise((done) => box.addEventListener("close", () =>
    done(box.returnValue === "yes" ? { word: form.elements.word.value, category: form.elements.category.value } : null), { once: true }));
}

// The mark and the next object come at once; answers follow in order, however fast the keys are.
let sent = Promise.resolve();
const inOrder = (task) => (sent = sent.then(task).catch(() => afterChange()));

async function decide(word, whole = false) {
  if (!total || !row(at)) return;
  let category = "";
  if (word === "relabel") {
    const answer = await dialog("Relabel", `What do ${many(chosen.size, "object")} show?`, false, true);
    sheet.focus();
    if (!answer) return;
    category = answer.category;
  }
  const rows = [...chosen].map(row).filter(Boolean);
  const places = whole ? [...new Set(rows.map((one) => one.canvas))].map((canvas) => [canvas, null]) : rows.map((one) => [one.canvas, one.region]);
  for (const one of rows) one.verdict = word;
  if (chosen.size === 1) choose(at + 1); else layOut();
  inOrder(async () => {
    const { count } = await ask("/api/decide", { verdict: word, places, category });
    await afterChange();
    say(`${many(count, whole ? "canvase" : "object").replace("1 canvase", "1 canvas")} ${WORDS[word] ?? "cleared"}`);
  });
}

async function afterChange() {
  await refreshState();
  const mine = ++generation, numbers = [...pages.keys()];
  const found = await Promise.all(numbers.map(fetchPage));
  if (mine !== generation) return;
  const same = (one) => one && `${one.canvas}/${one.region}`, current = same(row(at)), kept = new Set([...chosen].map((index) => same(row(index))));
  pages = new Map(numbers.map((number, k) => [number, found[k].rows]));
  total = found[0]?.total ?? 0;
  chosen.clear();
  let place = -1;
  for (const [number, rows] of pages) rows.forEach((one, k) => {
    if (kept.has(same(one))) chosen.add(number * PAGE + k);
    if (same(one) === current) place = number * PAGE + k;
  });
  at = place >= 0 ? place : Math.max(0, Math.min(at, total - 1));
  if (!chosen.size && total) chosen.add(at);
  anchor = at;
  layOut(); showDetail();
}

async function rule() {
  const answer = await dialog("All shown", `A verdict on the ${many(total, "object")} that these filters show. One undo takes it back.`, true, false);
  sheet.focus();
  if (!answer || !total) return;
  const asked = query();
  inOrder(async () => {
    const { count } = await ask("/api/decide", { verdict: answer.word, query: asked });
    await afterChange();
    say(`${many(count, "object")} ${WORDS[answer.word] ?? "cleared"}`);
  });
}

function undo() {
  inOrder(async () => {
    const { count } = await ask("/api/undo", {});
    await afterChange();
    say(count ? `undone: ${count}` : "nothing to undo");
  });
}

async function write() {
  say("writing …");
  const { instances, canvases } = await ask("/api/write", {});
  say(`lvis.json has ${many(instances, "instance")} on ${canvases.toLocaleString("en")} canvases`);
}

const MOVES = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: () => -across(), ArrowDown: () => across(), Home: () => -at, End: () => total - 1 - at,
  PageUp: () => -across() * Math.max(1, Math.floor(sheet.clientHeight / CELL.height)), PageDown: () => across() * Math.max(1, Math.floor(sheet.clientHeight / CELL.height)) };
const KEYS = { a: () => decide("accept"), r: () => decide("reject"), m: () => decide("wrong_mask"), l: () => decide("relabel"), c: () => decide("none"),
  x: () => decide("reject", true), u: undo, z: zoom, k: () => { filters.elements.masks.click(); }, "?": () => find("help").showModal() };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.matches("select, input")) { if (event.key === "Escape") sheet.focus(); return; }
  if (event.target.matches("button") && (event.key === "Enter" || event.key === " ")) return;
  if (MOVES[event.key]) { event.preventDefault(); choose(at + MOVES[event.key](), event.shiftKey); }
  else if (KEYS[event.key]) { event.preventDefault(); KEYS[event.key](); }
});

let drag = null;
sheet.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || event.pointerType === "touch") return;
  const frame = space.getBoundingClientRect();
  drag = { x: event.clientX - frame.left, y: event.clientY - frame.top, moved: false };
});
document.addEventListener("pointermove", (event) => {
  if (!drag) return;
  const frame = space.getBoundingClientRect(), x = event.clientX - frame.left, y = event.clientY - frame.top;
  if (!drag.moved && Math.hypot(x - drag.x, y - drag.y) < 8) return;
  drag.moved = true;
  const lasso = find("lasso") ?? space.appendChild(Object.assign(document.createElement("div"), { id: "lasso" }));
  const [left, top, right, bottom] = [Math.min(x, drag.x), Math.min(y, drag.y), Math.max(x, drag.x), Math.max(y, drag.y)];
  Object.assign(lasso.style, { left: `${left}px`, top: `${top}px`, width: `${right - left}px`, height: `${bottom - top}px` });
  const columns = across();
  chosen = new Set();
  for (let line = Math.max(0, Math.floor(top / CELL.height)); line <= Math.floor(bottom / CELL.height); line++)
    for (let column = Math.max(0, Math.floor(left / CELL.width)); column <= Math.min(columns - 1, Math.floor(right / CELL.width)); column++)
      if (line * columns + column < total) chosen.add(line * columns + column);
  layOut();
});
document.addEventListener("pointerup", (event) => {
  const dragged = drag?.moved; drag = null;
  find("lasso")?.remove();
  if (dragged) { if (chosen.size) { at = Math.min(...chosen); anchor = at; layOut(); showDetail(); say(`${many(chosen.size, "object")} selected`); } sheet.focus(); }
});
sheet.addEventListener("click", (event) => {
  const cell = event.target.closest(".object");
  if (!cell || find("lasso")) return;
  if (chosen.size > 1 && !event.shiftKey && !event.ctrlKey && event.detail === 0) return;
  choose(Number(cell.dataset.index), event.shiftKey, event.ctrlKey || event.metaKey);
  sheet.focus();
});
sheet.addEventListener("scroll", () => requestAnimationFrame(layOut));
addEventListener("resize", layOut);
filters.addEventListener("submit", (event) => event.preventDefault());
filters.addEventListener("change", (event) => { event.target.name === "masks" ? (layOut(), showDetail()) : load(); });
find("rule").addEventListener("click", rule);
find("undo").addEventListener("click", undo);
find("write").addEventListener("click", write);
find("help-button").addEventListener("click", () => find("help").showModal());
for (const button of document.querySelectorAll("[data-word]")) button.addEventListener("click", () => { decide(button.dataset.word); });

await refreshState();
await load();
sheet.focus();
