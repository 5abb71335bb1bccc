// Trying settings: sample a canvas, look at its attention, change its masks without sampling, keep the settings.
import { ask, say } from "./ask.js";

const find = (id) => document.getElementById(id);
const form = find("wish"), fields = form.elements;
let current = null;

const readable = (name) => name.replace(/_\(/g, " (").replace(/_/g, " ");
const number = (name) => (fields[name].value === "" ? undefined : Number(fields[name].value));
const text = (name) => fields[name].value.trim() || undefined;

function wish() {
  const scene = fields.kind.value === "scene";
  const layout = scene ? { kind: "scene", binding: fields.binding.value, max_overlap: number("max_overlap") } : { kind: "grid" };
  const background = text("background");
  const settings = { model: text("model"), seed: number("seed"), layout,
    prompt: { template: text("template"), negative: text("negative"), backgrounds: background ? [background] : undefined },
    sampling: { steps: number("steps"), guidance: number("guidance") } };
  return { names: fields.names.value, settings: JSON.parse(JSON.stringify(settings)) };
}

function masks() {
  const threshold = fields.threshold.value;
  return { threshold: threshold === "otsu" ? threshold : Number(threshold), refine: fields.refine.checked,
    min_area: number("min_area") ?? 0, max_area: number("max_area") ?? 1 };
}

async function sample() {
  const wanted = wish(), seed = fields.seed.value;
  const { number: mine } = await ask("/api/try", wanted);
  find("start").disabled = find("next").disabled = true;
  find("progress").hidden = false;
  say("sampling …");
  for (;;) {
    const state = await ask("/api/try/state");
    find("progress").max = state.total; find("progress").value = state.done;
    if (!state.busy || state.number !== mine) {
      find("start").disabled = find("next").disabled = false;
      find("progress").hidden = true;
      if (state.error) { say(state.error); return; }
      break;
    }
    await new Promise((done) => setTimeout(done, 200));
  }
  if (current) keepPicture(current);
  current = { number: mine, seed, names: wanted.names };
  await show();
}

function keepPicture(old) {
  const picture = find("canvas").querySelector("img"), figure = document.createElement("figure"), caption = document.createElement("figcaption"), image = document.createElement("img");
  image.src = picture.src; image.alt = "";
  caption.textContent = `${old.names}, seed ${old.seed}`;
  figure.append(image, caption);
  find("seeds").prepend(figure);
  while (find("seeds").children.length > 12) find("seeds").lastChild.remove();
}

async function show() {
  const picture = await fetch(`/try/image?${current.number}`).then((answer) => answer.blob());
  const image = document.createElement("img");
  image.src = await new Promise((done) => { const reader = new FileReader(); reader.onload = () => done(reader.result); reader.readAsDataURL(picture); });
  image.alt = `the canvas of ${current.names}`;
  find("canvas").replaceChildren(image);
  await remask();
}

async function remask() {
  if (!current) return;
  const found = await ask("/api/try/masks", { settings: masks() });
  find("canvas").querySelectorAll("img ~ *").forEach((one) => one.remove());
  if (fields.layer.checked) {
    const layer = document.createElement("img");
    layer.src = `data:image/png;base64,${found.layer}`; layer.alt = ""; find("canvas").append(layer);
  }
  const kept = found.objects.filter((one) => one.reason === null).length;
  say(`${kept} of ${found.objects.length} objects have a mask`);
  find("objects").replaceChildren(...found.objects.map((one, k) => {
    const item = document.createElement("li"), name = document.createElement("b"), value = document.createElement("span");
    name.textContent = readable(one.category); item.title = one.prompt; item.tabIndex = 0;
    value.textContent = one.reason ?? `quality ${one.quality.toFixed(2)}${one.hidden > 0.005 ? `, ${Math.round(100 * one.hidden)} % hidden` : ""}`;
    if (one.reason) value.className = "reason";
    item.append(name, value);
    const on = () => heat(k, one.box, found.hw), off = () => find("canvas").querySelector(".heat")?.remove();
    item.addEventListener("mouseenter", on); item.addEventListener("focus", on);
    item.addEventListener("mouseleave", off); item.addEventListener("blur", off);
    return item;
  }));
}

function heat(k, [left, top, width, height], [rows, columns]) {
  find("canvas").querySelector(".heat")?.remove();
  const image = document.createElement("img");
  image.className = "heat"; image.alt = "attention"; image.src = `/try/attention/${k}?${current.number}`;
  Object.assign(image.style, { left: `${(100 * left) / columns}%`, top: `${(100 * top) / rows}%`, width: `${(100 * width) / columns}%`, height: `${(100 * height) / rows}%` });
  find("canvas").append(image);
}

async function keep() {
  const kept = await ask("/api/try/keep", { settings: masks() });
  find("yaml").value = kept.yaml; find("command").textContent = kept.command;
  find("kept").hidden = false;
  find("yaml").select();
}

function showScene() { for (const one of form.querySelectorAll(".scene")) one.hidden = fields.kind.value !== "scene"; }
form.addEventListener("submit", (event) => { event.preventDefault(); sample().catch(() => {}); });  // the error has been said
find("next").addEventListener("click", () => { fields.seed.value = Number(fields.seed.value) + 1; sample().catch(() => {}); });
fields.kind.addEventListener("change", showScene);
for (const name of ["threshold", "refine", "min_area", "max_area", "layer"]) fields[name].addEventListener("change", () => remask().catch(() => {}));
form.querySelector("fieldset").addEventListener("keydown", (event) => {
  if (event.key === "Enter") { event.preventDefault(); remask().catch(() => {}); }
});
find("keep").addEventListener("click", () => keep().catch(() => {}));
showScene();
