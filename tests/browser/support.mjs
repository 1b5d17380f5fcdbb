// Support for the browser tests: a server with a private database, a real Chromium, and checks of pages.

import assert from "node:assert/strict";
import { spawn, execFileSync } from "node:child_process";
import { createHash, createHmac } from "node:crypto";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const PASSWORD = "correct horse battery staple";
export const WIDE = { width: 1280, height: 900 };
export const PHONE = { width: 390, height: 844 };

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// --- The server ---

function program() {
  const target = process.env.CARGO_TARGET_DIR || join(ROOT, "target");
  const path = process.env.PACKHOUSE_PROGRAM || join(target, "debug", "packhouse");
  assert.ok(existsSync(path), `no program ${path}: run cargo build first, or script/test-browser`);
  return path;
}

/** A port that is free now, for a site whose address must be known before it listens. */
export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * Starts a server with its own data directory and Postgres; `file` is the text of its configuration. `endWith` stops it
 * and deletes both.
 */
export async function serve(settings = {}, file = "") {
  // In memory if possible, because nothing here must survive a power failure.
  const dir = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "packhouse-browser-"));
  // If we are root, Postgres runs as another user.
  chmodSync(dir, 0o755);
  writeFileSync(join(dir, "packhouse.toml"), file);
  const kept = Object.entries(process.env).filter(([key]) => !key.startsWith("PACKHOUSE_") && key !== "DATABASE_URL");
  const child = spawn(program(), ["serve"], {
    cwd: dir,
    env: {
      ...Object.fromEntries(kept),
      PACKHOUSE_DATA_DIR: join(dir, "data"),
      PACKHOUSE_LISTEN: "127.0.0.1:0",
      PACKHOUSE_ADMIN_USER: "admin",
      PACKHOUSE_ADMIN_PASSWORD: PASSWORD,
      ...settings,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  child.stderr.on("data", (bytes) => { log = (log + bytes).slice(-20_000); });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  const clean = () => rmSync(dir, { recursive: true, force: true });
  process.on("exit", () => { child.kill("SIGKILL"); clean(); });
  const url = await new Promise((resolve, reject) => {
    let said = "";
    child.stdout.on("data", (bytes) => {
      said += bytes;
      const found = said.match(/listens on (http:\S+)/);
      if (found) resolve(found[1]);
    });
    ended.then((code) => reject(new Error(`the server ended with ${code}: ${log}`)));
  });
  const stop = async () => { child.kill("SIGTERM"); await ended; clean(); };
  return { url, stop, log: () => log, dir };
}

/** Sends an API request. `who` is a user name, for Basic authentication, or a token. */
export async function api(site, who, method, path, body) {
  const authorization = who.startsWith("phk_") ? `Bearer ${who}` : `Basic ${btoa(`${who}:${PASSWORD}`)}`;
  const json = body !== undefined && !Buffer.isBuffer(body);
  const answer = await fetch(site.url + path, {
    method,
    headers: { authorization, ...(json ? { "content-type": "application/json" } : {}) },
    body: json ? JSON.stringify(body) : body,
  });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path} by ${who.slice(0, 12)}: ${answer.status} ${text}`);
  return text && answer.headers.get("content-type")?.includes("json") ? JSON.parse(text) : text;
}

/** Creates users with PASSWORD. */
export async function people(site, ...names) {
  for (const username of names) {
    await api(site, "admin", "POST", "/api/v1/admin/users", {
      username, email: `${username}@example.org`, password: PASSWORD, must_change_password: false,
    });
  }
}

/** Publishes a file. The path is owner/package/version/name, or a list of these four if one of them contains a slash. */
export async function publish(site, who, path, content) {
  const parts = Array.isArray(path) ? path : path.split("/");
  const [owner, ...rest] = parts.map(encodeURIComponent);
  await api(site, who, "PUT", `/api/packages/${owner}/generic/${rest.join("/")}`, Buffer.from(content));
}

/** Runs curl and returns its output. */
export function curl(...args) {
  return execFileSync("curl", ["-fsS", "--noproxy", "*", ...args], { encoding: "buffer" });
}

export const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

// --- The browser ---

const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // A host that is not this computer to the browser, for what needs https.
  "--host-resolver-rules=MAP packages.test 127.0.0.1",
];

let launched;

/** The browser, which all tests of a file share. */
export async function launch() {
  launched ??= chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ARGS });
  return launched;
}

/** Stops the browser and a server after the tests of the file. */
export function endWith(site) {
  after(async () => {
    await (await launched)?.close();
    await site.stop();
  });
}

/** A browser window with its own cookies. Everything that goes wrong in it is recorded, for `done`. */
export async function visit(site, options = {}) {
  const browser = await launch();
  const context = await browser.newContext({
    baseURL: site.url, viewport: WIDE, colorScheme: "light", reducedMotion: "reduce", acceptDownloads: true, ...options,
  });
  context.setDefaultTimeout(20_000);
  const wrong = [];
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      console.error(`CSP: ${event.effectiveDirective} forbids ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
    });
  });
  const page = await context.newPage();
  page.on("console", (message) => {
    // Statuses are checked below, where the kind of request is known.
    const isStatus = message.text().startsWith("Failed to load resource");
    if (["error", "warning"].includes(message.type()) && !isStatus) wrong.push(`${page.url()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => wrong.push(`${page.url()}: ${error}`));
  page.on("response", (response) => {
    const isPage = ["document", "xhr", "fetch"].includes(response.request().resourceType());
    if (response.status() >= (isPage ? 500 : 400)) wrong.push(`${page.url()}: ${response.url()} ${response.status()}`);
  });
  return { page, context, wrong };
}

/** Closes a browser window, and fails if anything went wrong in it. */
export async function done({ context, wrong }) {
  await context.close();
  fail(wrong);
}

/** Signs in with the form. */
export async function signIn(page, name, password = PASSWORD) {
  await page.goto("/login");
  await page.getByLabel("Username or email address").fill(name);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.locator("header details.menu summary").waitFor();
}

/** Signs out with the menu. */
export async function signOut(page) {
  await page.locator("header details.menu summary").click();
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await page.locator("nav[aria-label=Account]").waitFor();
}

/** A browser window in which a user is signed in. */
export async function visitAs(site, name, options) {
  const browser = await visit(site, options);
  await signIn(browser.page, name);
  return browser;
}

// --- Checks of pages ---

/** What people would see is wrong with the page at the width that its window has. Runs in the page. */
function layoutFaults() {
  const faults = [];
  const isShown = (element) => element.checkVisibility() && element.getClientRects().length > 0 && !element.closest(".visually-hidden");
  const html = (element) => element.outerHTML.replaceAll(/\s+/g, " ").slice(0, 120);
  const gap = (above, below) => below.getBoundingClientRect().top - above.getBoundingClientRect().bottom;
  // Tables of the manual may be wide: they scroll, also with the keyboard.
  for (const box of document.querySelectorAll("main .table-box:not(.prose *)")) {
    if (box.scrollWidth > box.clientWidth + 1) faults.push(`a table is cut off: ${html(box.querySelector("table"))}`);
  }
  // Boxes that hide what they hold. These scroll, or end with an ellipsis, on purpose.
  const scrolls = "textarea, pre, select, .about, .owner-choices, .manual-pages *, .manual-sections *, .visually-hidden";
  for (const box of document.querySelectorAll("main *")) {
    const { overflowY, clipPath } = getComputedStyle(box);
    const hides = overflowY !== "visible" && clipPath === "none" && box.scrollHeight > box.clientHeight + 4;
    if (hides && isShown(box) && !box.matches(scrolls)) faults.push(`a box hides a part of its content: ${html(box)}`);
  }
  // Words that are short enough for a line.
  const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const parent = node.parentElement;
    if (!node.data.trim() || !isShown(parent)) continue;
    const size = parent.closest("svg") ? parent.getBoundingClientRect().height : parseFloat(getComputedStyle(parent).fontSize);
    if (size < 11) faults.push(`a text of ${size.toFixed(1)} px: ${node.data.trim()}`);
    if (!parent.closest("td, th")) continue;
    for (const { 0: word, index } of node.data.matchAll(/[\w.@]{2,24}/g)) {
      const range = document.createRange();
      range.setStart(node, index);
      range.setEnd(node, index + word.length);
      const lines = new Set([...range.getClientRects()].map((rect) => Math.round(rect.top)));
      const isWhole = !/[\w.@]/.test(node.data[index + word.length] ?? " ") && !/[\w.@]/.test(node.data[index - 1] ?? " ");
      if (lines.size > 1 && isWhole) faults.push(`a word is broken: ${word} in ${html(parent)}`);
    }
  }
  for (const notice of document.querySelectorAll("main .notice")) {
    const { previousElementSibling: above, nextElementSibling: below } = notice;
    if (above && isShown(above) && gap(above, notice) < 8) faults.push(`a notice touches what is above it: ${html(above)}`);
    if (below && isShown(below) && gap(notice, below) < 8) faults.push(`a notice touches what is below it: ${html(below)}`);
  }
  for (const heading of document.querySelectorAll("main :is(h1, h2, h3)")) {
    const below = heading.nextElementSibling;
    const isBox = below && isShown(below) && parseFloat(getComputedStyle(below).borderTopWidth) > 0;
    const isBeside = isBox && gap(heading, below) < 0;
    if (isBox && !isBeside && isShown(heading) && gap(heading, below) < 6) faults.push(`a heading touches the box below it: ${html(heading)}`);
  }
  return faults;
}

/** The window sizes at which `inspect` looks at the layout. */
const LAYOUT_SIZES = [{ width: 1440, height: 900 }, { width: 1024, height: 800 }, PHONE];

/**
 * Checks the page with axe, wide and on a phone, light and dark, and its layout at three widths. Nothing may be wider than
 * the window either.
 */
export async function inspect(page, { schemes = ["light", "dark"] } = {}) {
  const found = new Map();
  const tell = (line, mode) => found.set(line, [...found.get(line) ?? [], mode]);
  for (const viewport of [WIDE, PHONE]) {
    await page.setViewportSize(viewport);
    // Scripts that react to the size of the window do so in the next frame.
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    for (const colorScheme of schemes) {
      await page.emulateMedia({ colorScheme });
      if (!await page.evaluate(() => "axe" in window)) await page.evaluate(AXE);
      // First all rules, then only the rules about colors.
      const rules = colorScheme === schemes[0] ? null : ["color-contrast", "link-in-text-block"];
      const violations = await page.evaluate(async (rules) => {
        const options = { resultTypes: ["violations"], ...(rules ? { runOnly: rules } : {}) };
        const { violations } = await window.axe.run(document, options);
        return violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary, html }) =>
          `${id} at ${target.join(" ")}: ${failureSummary.replaceAll(/\s+/g, " ")} ${html.slice(0, 200)}`));
      }, rules);
      for (const line of violations) tell(line, `${viewport.width} ${colorScheme}`);
    }
    const { wide, out } = await page.evaluate(() => {
      const width = document.documentElement.clientWidth;
      const isOut = (element) => element.getBoundingClientRect().right > width + 1;
      const out = [...document.body.querySelectorAll("*")].filter(isOut).slice(0, 3);
      return { wide: document.documentElement.scrollWidth > width, out: out.map((one) => one.outerHTML.slice(0, 120)) };
    });
    if (wide) tell(`wider than the window: ${out.join(" | ")}`, viewport.width);
  }
  for (const size of LAYOUT_SIZES) {
    await page.setViewportSize(size);
    for (const line of await page.evaluate(layoutFaults)) tell(line, size.width);
  }
  await page.setViewportSize(WIDE);
  await page.emulateMedia({ colorScheme: "light" });
  fail([...found].map(([line, modes]) => `${page.url()} (${modes.join(", ")}): ${line}`));
}

/** Fails with these lines, if there are any. */
export function fail(lines) {
  if (lines.length) throw new Error(`\n${[...new Set(lines)].join("\n")}`);
}

/** Drops files on an element, as if they were dragged from the desktop. */
export async function drop(page, selector, files) {
  const carried = files.map(({ name, content }) => ({ name, bytes: Buffer.from(content).toString("base64") }));
  const transfer = await page.evaluateHandle((files) => {
    const transfer = new DataTransfer();
    for (const { name, bytes } of files) {
      const content = Uint8Array.from(atob(bytes), (char) => char.charCodeAt(0));
      transfer.items.add(new File([content], name));
    }
    return transfer;
  }, carried);
  for (const type of ["dragenter", "dragover", "drop"]) await page.dispatchEvent(selector, type, { dataTransfer: transfer });
}

/** Presses the tab key until the element of a selector has the focus. */
export async function tabTo(page, selector, most = 60) {
  for (let count = 0; count < most; count++) {
    if (await page.evaluate((selector) => document.activeElement?.matches(selector), selector)) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`${most} presses of the tab key do not reach ${selector} on ${page.url()}`);
}

/** Clicks, and returns the file that the browser downloads. */
export async function download(page, locator) {
  const [file] = await Promise.all([page.waitForEvent("download"), locator.click()]);
  return { name: file.suggestedFilename(), bytes: readFileSync(await file.path()) };
}

// --- Two-factor authentication ---

/** The code that an authenticator app shows for a secret (RFC 6238), some steps of 30 seconds from now. */
export function totp(seed, steps = 0) {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...seed.replaceAll(/[\s=]/g, "")].map((char) => alphabet.indexOf(char).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const digest = createHmac("sha1", key).update(counter).digest();
  const number = digest.readUInt32BE(digest.at(-1) & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, "0");
}
