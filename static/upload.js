// Uploading: a queue of files. Each file is sent as the body of its own request, shows its progress, and can be canceled
// and retried. Without this module, the page is a form that sends all files at once.

const byId = (id) => document.getElementById(id);
const form = byId("upload");
const picker = byId("files");
const queue = byId("queue");
const owner = byId("to");
const NAME = /^(?!\.{1,2}$)[-+=:;.()[\]{}~!@#$%^&\w](?:[-+=:;.()[\]{}~!@#$%^& \w]*[-+=:;.()[\]{}~!@#$%^&\w])?$/;
// A file may be in directories. The server checks the lengths too.
const hasValidName = (name) => name.length <= 1024 && name.split("/").length <= 16 && name.split("/").every((part) => part.length <= 255 && NAME.test(part));
const AT_ONCE = 2;
const WORDS = { waiting: "Waiting", sending: "Uploading", stored: "Uploaded", failed: "Upload failed", canceled: "Canceled" };
const items = [];
let sending = 0, running = false, started = 0, sentBefore = 0, quarterSaid = 0;

const say = (text) => { byId("said").textContent = text; };

const size = (bytes) => {
  if (bytes < 1024) return `${bytes} B`;
  let value = bytes, unit = -1;
  do { value /= 1024; unit += 1; } while (value >= 1023.95 && unit < 5);
  return `${value.toFixed(value < 99.95 ? 1 : 0)} ${["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"][unit]}`;
};

const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

// The address for uploads to the chosen owner.
const uploads = () => `${form.dataset.site}${encodeURIComponent(owner.value)}/-/upload`;

const sum = (list, of) => list.reduce((all, item) => all + of(item), 0);
const counted = () => items.filter((item) => item.state !== "canceled");

// How many files were uploaded, of all that were chosen, and how many were canceled.
const outcome = () => {
  const count = (state) => items.filter((item) => item.state === state).length;
  const canceled = count("canceled");
  return `${count("stored")} of ${plural(items.length, "file")} uploaded${canceled ? `, ${canceled} canceled` : ""}`;
};

// Removes what the page says about the names, which no longer holds while they change. What it says of a quota stays.
const forget = () => {
  for (const line of byId("state").querySelectorAll(".hint, #exists")) line.remove();
  byId("look").hidden = true;
  showWaiting();
};

// Requests the page again: what exists under the typed names, how much fits, and a fresh CSRF token.
let asked = 0;
const refresh = async () => {
  const turn = ++asked;
  const query = new URLSearchParams({ package: byId("package").value, version: byId("version").value });
  const response = await fetch(`${uploads()}?${query}`, { credentials: "same-origin", headers: { accept: "text/html" } });
  if (response.redirected || !response.ok) throw new Error("signed out");
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  if (turn !== asked) return;
  for (const id of ["packages", "versions", "state"]) byId(id).replaceChildren(...page.getElementById(id).childNodes);
  form.dataset.most = page.getElementById("upload").dataset.most;
  form.action = page.getElementById("upload").getAttribute("action");
  form.elements.csrf.value = page.getElementById("upload").elements.csrf.value;
  showWaiting();
};

const either = new Intl.ListFormat("en", { type: "disjunction" });

const fileNameProblem = (name) => {
  const wrong = [...new Set(name.match(/[^-+=:;.()[\]{}~!@#$%^& \w/]/gu))];
  return wrong.length
    ? `File names can't contain ${either.format(wrong)}. Rename the file.`
    : `A file name and each of its folders can't be empty, "." or "..", can't start or end with a space, and can't be longer than 255 characters. A file can be in at most 15 folders. Rename the file.`;
};

// The problem of a file, checked before sending it.
const problemOf = (item) => {
  const name = item.name.toLowerCase();
  if (!hasValidName(item.name)) return fileNameProblem(item.name);
  const most = form.dataset.most;
  if (most && item.file.size > Number(most)) return `The file is too large: the limit is ${size(Number(most))}. Remove the file.`;
  const there = [...document.querySelectorAll("#there li")].some((line) => line.textContent.toLowerCase() === name);
  if (there) return "This version already has a file with this name. Rename your file, or remove it from this list.";
  const twin = items.some((other) => other !== item && other.state !== "canceled" && other.name.toLowerCase() === name);
  return twin ? "Two files have this name. Rename one of them." : "";
};

const show = (item) => {
  const { row, state } = item;
  const find = (selector) => row.querySelector(selector);
  const problem = item.problem || (state === "waiting" ? problemOf(item) : "");
  const badge = find("[data-state]");
  badge.textContent = state !== "waiting" ? WORDS[state] : problem ? "Can't be uploaded" : running ? WORDS.waiting : "Ready";
  badge.className = `badge ${{ stored: "good", failed: "bad", sending: "accent" }[state] ?? (problem ? "warn" : "")}`;
  find("[data-problem]").textContent = problem;
  find("[data-problem]").hidden = !problem;
  const input = find("input");
  input.disabled = state === "sending" || state === "stored";
  input.setAttribute("aria-invalid", String(Boolean(problem) && state === "waiting"));
  const bar = find("progress");
  bar.hidden = state !== "sending" && state !== "stored";
  bar.value = state === "stored" || !item.file.size ? 1 : item.sent / item.file.size;
  bar.setAttribute("aria-label", `Progress of ${item.name}`);
  find("[data-do=cancel]").hidden = state !== "sending";
  find("[data-do=retry]").hidden = state !== "failed" && state !== "canceled";
  find("[data-do=remove]").hidden = state === "sending" || state === "stored";
  for (const button of row.querySelectorAll("button")) button.setAttribute("aria-label", `${button.textContent.trim()} ${item.name}`);
  const digest = find("[data-digest]");
  digest.hidden = !item.sha256;
  digest.textContent = item.sha256 ? `SHA-256 ${item.sha256}` : "";
  total();
};

// Updates the files that have not been sent: their badges depend on the whole page.
const showWaiting = () => { for (const item of items) if (item.state === "waiting") show(item); };

const total = () => {
  const all = counted();
  byId("total").hidden = !items.length;
  const bytes = sum(all, (item) => item.file.size);
  const sent = sum(all, (item) => (item.state === "stored" ? item.file.size : item.sent));
  const done = all.filter((item) => item.state === "stored").length;
  byId("total-bar").value = bytes ? sent / bytes : done / (all.length || 1);
  const quarter = running && bytes ? Math.floor((4 * sent) / bytes) : 0;
  if (quarter > quarterSaid && quarter < 4) say(`${quarter * 25}% uploaded`);
  quarterSaid = quarter;
  const seconds = (performance.now() - started) / 1000;
  const rate = running && seconds > 2 ? (sent - sentBefore) / seconds : 0;
  const left = rate > 0 ? ` · ${size(Math.round(rate))}/s, ${wait((bytes - sent) / rate)} left` : "";
  byId("total-text").textContent = `${outcome()} · ${size(sent)} of ${size(bytes)}${left}`;
  byId("stop").hidden = !running;
  byId("send").disabled = running || !all.some((item) => item.state === "waiting");
  byId("where").disabled = owner.disabled = running;
};

const wait = (seconds) => (seconds < 90 ? `${Math.ceil(seconds)} s` : seconds < 5400 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`);

// The files of a folder keep their path in it.
const pathOf = (file) => file.inFolder ?? (file.webkitRelativePath || file.name);

const add = (files) => {
  for (const file of files) {
    const row = byId("row").content.firstElementChild.cloneNode(true);
    const item = { file, name: pathOf(file), row, state: "waiting", sent: 0, problem: "", sha256: "" };
    row.querySelector("[data-size]").textContent = size(file.size);
    const input = row.querySelector("input");
    input.value = item.name;
    input.addEventListener("input", () => {
      item.name = input.value;
      item.problem = "";
      if (item.state === "failed") item.state = "waiting";
      showWaiting();
    });
    row.addEventListener("click", (event) => act(item, event.target.closest("[data-do]")?.dataset.do));
    items.push(item);
    queue.append(row);
    byId("look").hidden = true;
  }
  showWaiting();
  if (files.length) say(`${plural(files.length, "file")} added`);
};

const act = (item, what) => {
  if (what === "cancel") item.xhr.abort();
  if (what === "remove") {
    items.splice(items.indexOf(item), 1);
    item.row.remove();
    byId("send").focus();
    total();
  }
  if (what === "retry") {
    Object.assign(item, { state: "waiting", problem: "", sent: 0 });
    start();
  }
};

const MESSAGES = {
  conflict: "This version already has a file with this name. Rename your file, or remove it from this list.",
  unauthenticated: "You've been signed out. Sign in again in another tab, then retry.",
  no_space: "The server is out of storage. Try again later.",
};

const settle = (item, state, problem = "") => {
  if (state !== "stored") item.sent = 0;
  Object.assign(item, { state, problem, xhr: null });
  sending -= 1;
  show(item);
  say(`${item.name}: ${WORDS[state]}${problem ? `. ${problem}` : ""}`);
  next();
};

const send = (item) => {
  const xhr = new XMLHttpRequest();
  Object.assign(item, { state: "sending", problem: "", sent: 0, xhr });
  sending += 1;
  const path = [byId("package").value, byId("version").value, ...item.name.split("/")].map(encodeURIComponent).join("/");
  xhr.open("PUT", `${uploads()}/${path}${byId("draft").checked ? "?draft=true" : ""}`);
  xhr.setRequestHeader("x-csrf-token", form.elements.csrf.value);
  xhr.setRequestHeader("content-type", "application/octet-stream");
  xhr.responseType = "json";
  xhr.upload.onprogress = (event) => { item.sent = event.loaded; show(item); };
  xhr.onload = () => {
    const body = xhr.response ?? {};
    if (xhr.status === 200 || xhr.status === 201) {
      item.sha256 = body.sha256;
      byId("look").href = body.page;
      return settle(item, "stored");
    }
    // These errors would affect all following files too.
    if ([401, 507].includes(xhr.status) || body.code === "forbidden") running = false;
    const unsure = item.unsure && body.code === "conflict";
    settle(item, "failed", unsure
      ? "This version now has a file with this name, most likely from the interrupted attempt. Compare its SHA-256 on the version's page."
      : MESSAGES[body.code] ?? body.message ?? `The server responded with status ${xhr.status}. Retry later.`);
  };
  xhr.onerror = () => {
    item.unsure = true;
    settle(item, "failed", "The connection was lost before the server responded. Retry.");
  };
  xhr.onabort = () => settle(item, "canceled");
  xhr.send(item.file);
  show(item);
};

const next = () => {
  while (running && sending < AT_ONCE) {
    const item = items.find((one) => one.state === "waiting" && !problemOf(one));
    if (!item) break;
    send(item);
  }
  if (sending) return;
  running = false;
  showWaiting();
  total();
  const all = counted();
  const done = all.filter((item) => item.state === "stored").length;
  byId("look").hidden = !done;
  if (done && done === items.length) {
    say(`All ${plural(done, "file")} uploaded`);
    byId("look").focus();
  } else {
    say(outcome());
  }
};

const start = async () => {
  if (!form.reportValidity()) return;
  const waiting = items.filter((item) => item.state === "waiting");
  if (!running && waiting.length && waiting.every(problemOf)) {
    say(`No file can be uploaded. ${waiting[0].name}: ${problemOf(waiting[0])}`);
    waiting[0].row.querySelector("input").focus();
    return;
  }
  if (!running) {
    try {
      await refresh();
    } catch {
      // The response to the first file will say why.
    }
    running = true;
    started = performance.now();
    sentBefore = sum(items, (item) => (item.state === "stored" ? item.file.size : 0));
    say("Uploading");
    showWaiting();
  }
  next();
};

// All files in a folder and its subfolders.
const entries = async (entry) => {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [Object.assign(file, { inFolder: entry.fullPath.replace(/^\//, "") })];
  }
  const reader = entry.createReader();
  const all = [];
  for (;;) {
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!batch.length) return all;
    for (const inner of batch) all.push(...await entries(inner));
  }
};

const drop = byId("drop");
for (const kind of ["dragenter", "dragover"]) {
  drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", async (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const found = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!found.some((entry) => entry.isDirectory)) return add([...event.dataTransfer.files]);
  for (const entry of found) add(await entries(entry));
});
// A file dropped outside the field must not replace the page.
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());

picker.addEventListener("change", () => { add([...picker.files]); picker.value = ""; });
const folder = document.createElement("input");
folder.type = "file";
folder.webkitdirectory = true;
folder.addEventListener("change", () => { add([...folder.files]); folder.value = ""; });
byId("folder").addEventListener("click", () => folder.click());
byId("stop").addEventListener("click", () => {
  running = false;
  for (const item of items.filter((one) => one.xhr)) item.xhr.abort();
});
form.addEventListener("submit", (event) => { event.preventDefault(); start(); });
window.addEventListener("beforeunload", (event) => { if (sending) event.preventDefault(); });

let typing;
for (const field of [byId("package"), byId("version"), owner]) {
  field.addEventListener("input", () => {
    forget();
    clearTimeout(typing);
    typing = setTimeout(() => refresh().catch(() => {}), 300);
  });
}
byId("whose").addEventListener("submit", (event) => event.preventDefault());
byId("change-owner").hidden = true;
byId("folder").hidden = !("webkitdirectory" in folder);
byId("drop-text").textContent = "Drop files here, or choose files";
picker.required = false;
picker.classList.add("visually-hidden");
total();
