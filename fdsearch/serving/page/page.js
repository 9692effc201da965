"use strict";

// Everything a client or a model named is written as text, never as markup.
const at = (id) => document.getElementById(id);
const percent = (share) =>
  (share > 0 && share < 0.001 ? "< 0.1" : share < 1 && share > 0.999 ? "> 99.9" : (100 * share).toFixed(1)) + "\u00a0%";

const SIGNS = { pass: "✓", review: "?", reject: "✕" };
const FORMATS = { keras: "Keras", onnx: "ONNX", litert: "LiteRT", litert_float16: "LiteRT float16" };

let token = sessionStorage.getItem("token") || "";
let service = null; // what GET /model says
let asked = 0; // number of the last picture: a late answer about an earlier one is dropped
let last = null; // the last picture, to send it again once a token is there

async function ask(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const response = await fetch(path, { ...options, headers });
  const body = await response.json();
  if (response.ok) return body;
  if (response.status === 401) at("ask").hidden = false;
  const faults = (body.error?.faults || []).map((fault) => `${fault.where}: ${fault.got}; expected ${fault.expected}`);
  throw new Error([body.error?.message || response.statusText, ...faults].join("\n"));
}

function send(path, file) {
  const form = new FormData();
  form.append("pictures", file, file.name || "picture");
  return ask(path, { method: "POST", body: form });
}

function complain(error) {
  at("problem").textContent = error ? error.message || String(error) : "";
  at("problem").hidden = !error;
}

function name(model) {
  return `${model.name}, version ${model.version} (${FORMATS[model.format] || model.format})`;
}

async function greet() {
  service = await ask("model");
  at("model").textContent = name(service.model);
  document.title = `${service.model.name} · fdsearch`;
  at("ask").hidden = true;
}

// Another version may have taken over since: its classes and its rule are what the words must be about.
async function agree(model) {
  if (model.version !== service.model.version) await greet();
}

async function judge(file, others = 0) {
  const number = ++asked;
  last = file;
  complain(null);
  show(file);
  try {
    if (!service) await greet();
    const answer = await send("predict", file);
    await agree(answer.model);
    if (number !== asked) return;
    tell(answer.model, answer.predictions[0], answer);
    at("where").textContent = "Looking where…";
    if (others) complain(`Only the first of ${others + 1} pictures is shown.`);
  } catch (error) {
    if (number === asked) fail(error);
    return;
  }
  try {
    const found = await send("explain", file);
    await agree(found.model);
    if (number !== asked) return;
    // Told again, by the version that drew the map: what is shown is one version's.
    tell(found.model, found.prediction, { ...found, picture: { ...found.picture, png: "…" } });
    point(found);
  } catch (error) {
    if (number === asked) at("where").textContent = `No heat map: ${error.message}`;
  }
}

function show(file) {
  const picture = at("picture");
  URL.revokeObjectURL(picture.src);
  picture.onload = () => at("frame").classList.toggle("small-picture", picture.naturalWidth < 320);
  picture.onerror = () => picture.removeAttribute("src"); // a format browsers lack; the service sends one they know
  picture.src = URL.createObjectURL(file);
  picture.alt = file.name || "the picture";
  at("map").hidden = true;
  at("scale").hidden = true;
  at("figure").hidden = false;
  at("figure").classList.add("busy");
  at("decision").hidden = at("result").hidden = true;
}

function fail(error) {
  at("figure").hidden = true;
  at("decision").hidden = at("result").hidden = true;
  document.querySelector("main").classList.remove("told");
  complain(error);
}

function tell(model, told, answer) {
  document.querySelector("main").classList.add("told");
  at("model").textContent = name(model);
  at("figure").classList.remove("busy");
  at("decision").className = told.decision;
  at("sign").textContent = SIGNS[told.decision];
  at("verdict").textContent = { pass: "Pass", review: "Review", reject: "Reject" }[told.decision];
  at("because").textContent = reason(told);
  const rows = Object.entries(told.probabilities)
    .sort(([, one], [, other]) => other - one)
    .map(([label, share]) => row(label, share, label === told.label));
  at("classes").tBodies[0].replaceChildren(...rows);
  at("answer").textContent = JSON.stringify(answer, null, 1);
  at("decision").hidden = at("result").hidden = false;
}

function reason(told) {
  const rule = service.decision;
  const good = service.pass_classes.reduce((sum, label) => sum + (told.probabilities[label] || 0), 0);
  const need = rule?.pass_threshold;
  if (told.decision === "reject") {
    const as = told.reject_as ? ` as ${told.reject_as}` : "";
    return `The part is rejected${as}: good with a probability of ${percent(good)}.`;
  }
  if (told.decision === "pass") return `The part is good with a probability of ${percent(good)}.`;
  if (need != null) return `A person decides: good with a probability of ${percent(good)}; it passes from ${percent(need)}.`;
  return service.decision_why ? `A person decides: ${service.decision_why}` : "A person decides.";
}

function row(label, share, isLabel) {
  const line = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = label;
  if (isLabel) {
    const note = document.createElement("small");
    note.textContent = " label";
    head.append(note);
  }
  const bar = document.createElement("td");
  bar.className = "bar";
  const track = bar.appendChild(document.createElement("div"));
  track.appendChild(document.createElement("i")).style.width = `${100 * share}%`;
  const number = document.createElement("td");
  number.className = "share";
  number.textContent = percent(share);
  line.classList.toggle("label", isLabel);
  line.classList.toggle("good", service.pass_classes.includes(label));
  line.append(head, bar, number);
  return line;
}

function point(found) {
  const { evidence, picture, covers } = found;
  const shown = at("picture");
  const before = shown.src;
  shown.src = `data:image/png;base64,${picture.png}`; // upright and gray, as the model's decoder sees it
  if (before.startsWith("blob:")) URL.revokeObjectURL(before);
  const [left, top, right, bottom] = covers.map((share) => 100 * share);
  Object.assign(at("map").style, {
    left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%`,
  });
  const what = evidence.of === "defect" ? "a defect" : evidence.of;
  const fall = evidence.probability - evidence.hidden;
  at("where").textContent = fall < 0.02
    ? `No single place decides: hiding any one of them hardly changes the probability of ${what} (${percent(evidence.probability)}).`
    : `With the strongest place hidden, the probability of ${what} falls from ${percent(evidence.probability)} to ${percent(evidence.hidden)}.`;
  paint(evidence.cells);
  at("map").hidden = false;
  at("scale").hidden = false;
}

function paint(cells) {
  const n = cells.length;
  // Below two units of log odds nothing is strong: a clean part must not glow because its noise was stretched.
  const strongest = Math.max(2, ...cells.flat());
  const small = new OffscreenCanvas(n, n);
  const pixels = new ImageData(n, n);
  cells.flat().forEach((value, index) => {
    const heat = Math.max(0, value) / strongest;
    pixels.data.set([255 - 40 * heat * heat, 190 * (1 - heat) ** 0.8, 40 * heat, 160 * Math.min(1, 1.2 * heat ** 1.3)], 4 * index);
  });
  small.getContext("2d").putImageData(pixels, 0, 0);
  const canvas = at("map");
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}

function take(files) {
  const [first, ...rest] = [...files];
  if (first) judge(first, rest.length);
}

at("file").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = ""; // the same file again is a new question
});
at("show").addEventListener("change", (event) => { at("map").style.opacity = event.target.checked ? 1 : 0; });
at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value.trim();
  sessionStorage.setItem("token", token);
  complain(null);
  greet().then(() => last && judge(last), complain);
});
document.addEventListener("paste", (event) => take(event.clipboardData.files));
// Anywhere on the page: a picture that misses the frame must not replace the page.
document.addEventListener("dragover", (event) => { event.preventDefault(); at("drop").classList.add("over"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) at("drop").classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  take(event.dataTransfer.files);
});

greet().catch((error) => { if (at("ask").hidden) complain(error); });
