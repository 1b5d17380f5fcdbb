// Package pages: uploading, finding, downloading and deleting files.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import {
  api, done, download, drop, endWith, inspect, people, publish, serve, sha256, tabTo, visit, visitAs,
} from "./support.mjs";

const site = await serve();
endWith(site);
await people(site, "ada", "bea");

/** The address of the page of a version of ada's. */
const page_of = (name, version) => `/ada/-/packages/generic/${name}/${version}`;

/** The files of a version in the API: name and SHA-256. */
async function files(owner, name, version) {
  const list = await api(site, "ada", "GET", `/api/v1/packages/${owner}/generic/${name}/${version}/files`);
  return Object.fromEntries(list.map((file) => [file.name, file.sha256]));
}

test("files dropped on the page show progress, download intact, get deleted", async () => {
  const browser = await visitAs(site, "ada");
  const { page } = browser;
  // Slow enough to see the progress.
  const network = await browser.context.newCDPSession(page);
  await network.send("Network.emulateNetworkConditions", {
    offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 4 << 20,
  });
  const large = randomBytes(6 << 20), small = Buffer.from("hello, world\n");
  await page.goto("/ada/-/upload");
  await page.getByLabel("Package", { exact: true }).fill("firmware");
  await page.getByLabel("Version", { exact: true }).fill("2.4.1");
  await page.locator("#state", { hasText: "This creates a new package" }).waitFor();
  await inspect(page);
  await drop(page, "#drop", [{ name: "router-2.4.1.bin", content: large }, { name: "notes (final).txt", content: small }]);
  assert.equal(await page.locator("#queue > li").count(), 2);
  await inspect(page);
  // Record every value of the progress bar.
  await page.evaluate(() => {
    window.seen = [];
    const look = () => {
      const bar = document.querySelector("#queue progress");
      if (!bar.hidden && bar.value > 0 && bar.value < 1) window.seen.push(bar.value);
      requestAnimationFrame(look);
    };
    look();
  });
  await page.getByRole("button", { name: "Upload files", exact: true }).click();
  await page.locator("#total-text", { hasText: "2 of 2 files uploaded" }).waitFor();
  const seen = await page.evaluate(() => window.seen);
  assert.ok(seen.length > 0 && seen.every((value, at) => at === 0 || value >= seen[at - 1]), `progress: ${seen}`);
  assert.deepEqual(await page.locator("#queue .badge").allTextContents(), ["Uploaded", "Uploaded"]);
  assert.ok((await page.locator("#queue [data-digest]").first().textContent()).includes(sha256(large)));
  await inspect(page);
  await page.getByRole("link", { name: "View version" }).click();
  await page.waitForURL(`**${page_of("firmware", "2.4.1")}`);

  const stranger = await visit(site);
  await stranger.page.goto("/explore/packages");
  await stranger.page.locator("main").getByRole("link", { name: /firmware/ }).first().click();
  await stranger.page.waitForURL("**/firmware/2.4.1");
  for (const [name, bytes] of [["router-2.4.1.bin", large], ["notes (final).txt", small]]) {
    const got = await download(stranger.page, stranger.page.getByRole("link", { name }).first());
    assert.equal(got.name, name);
    assert.equal(sha256(got.bytes), sha256(bytes));
  }
  await inspect(stranger.page);
  assert.equal(await stranger.page.getByRole("link", { name: /delete/i }).count(), 0);

  const id = (await api(site, "ada", "GET", "/api/v1/packages/ada/generic/firmware/2.4.1/files"))
    .find((file) => file.name.startsWith("notes")).id;
  await page.goto(`${page_of("firmware", "2.4.1")}/files/${id}/delete`);
  await inspect(page);
  await page.getByRole("button", { name: "Delete file" }).click();
  await page.locator(".notice.good").waitFor();
  assert.deepEqual(Object.keys(await files("ada", "firmware", "2.4.1")), ["router-2.4.1.bin"]);
  await page.goto(`${page_of("firmware", "2.4.1")}/delete`);
  await inspect(page);
  await page.getByRole("button", { name: "Delete version" }).click();
  await page.locator(".notice.good").waitFor();
  assert.equal((await stranger.page.goto(page_of("firmware", "2.4.1"))).status(), 404);
  await done(stranger);
  await done(browser);
});

test("a package is deleted after typing its name", async () => {
  await publish(site, "ada", "ada/old-tool/1.0/tool.bin", "bytes");
  await publish(site, "ada", "ada/old-tool/1.1/tool.bin", "more bytes");
  const browser = await visitAs(site, "ada");
  const { page } = browser;
  await page.goto("/ada/-/packages/settings/generic/old-tool");
  await page.getByLabel("Type old-tool to confirm").fill("new-tool");
  await page.getByRole("button", { name: "Delete package" }).click();
  await page.locator(".field-problem").waitFor();
  await inspect(page);
  await page.getByLabel("Type old-tool to confirm").fill("old-tool");
  await page.getByRole("button", { name: "Delete package" }).click();
  await page.locator(".notice.good").waitFor();
  const left = await api(site, "ada", "GET", "/api/v1/packages/ada?q=old-tool");
  assert.deepEqual(left, []);
  await done(browser);
});

test("an existing file is reported before the upload, and others go on", async () => {
  await publish(site, "ada", "ada/taken/1.0/a.txt", "there");
  const browser = await visitAs(site, "ada");
  const { page } = browser;
  await page.goto("/ada/-/upload");
  await page.getByLabel("Package", { exact: true }).fill("taken");
  await page.getByLabel("Version", { exact: true }).fill("1.0");
  await page.locator("#exists").waitFor();
  await drop(page, "#drop", [{ name: "a.txt", content: "other" }, { name: "b.txt", content: "new" }]);
  await page.locator("#queue li:first-child [data-problem]:visible", { hasText: "already" }).waitFor();
  await inspect(page);
  await page.getByRole("button", { name: "Upload files", exact: true }).click();
  await page.locator("#queue li:last-child .badge", { hasText: "Uploaded" }).waitFor();
  assert.deepEqual(await files("ada", "taken", "1.0"), { "a.txt": sha256("there"), "b.txt": sha256("new") });
  await done(browser);
});

test("a canceled upload leaves nothing and can be retried", async () => {
  const browser = await visitAs(site, "ada");
  const { page } = browser;
  const network = await page.context().newCDPSession(page);
  const throttle = (uploadThroughput) =>
    network.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput });
  await network.send("Network.enable");
  const buffer = randomBytes(8 << 20);
  await page.goto("/ada/-/upload?package=again&version=1.0");
  await page.locator("#files").setInputFiles({ name: "big.bin", mimeType: "application/octet-stream", buffer });
  await throttle(512 << 10);
  await page.getByRole("button", { name: "Upload files", exact: true }).click();
  await page.waitForFunction(() => document.querySelector("#queue progress").value > 0);
  await page.getByRole("button", { name: "Cancel big.bin" }).click();
  await page.locator("#queue .badge", { hasText: "Canceled" }).waitFor();
  assert.equal((await fetch(`${site.url}/api/v1/packages/ada/generic/again`)).status, 404);
  await throttle(-1);
  await page.getByRole("button", { name: "Retry big.bin" }).click();
  await page.locator("#queue .badge", { hasText: "Uploaded" }).waitFor();
  assert.deepEqual(await files("ada", "again", "1.0"), { "big.bin": sha256(buffer) });
  await done(browser);
});

test("uploading works with only the keyboard", async () => {
  const browser = await visitAs(site, "ada");
  const { page } = browser;
  await page.goto("/ada");
  await tabTo(page, "details.menu summary");
  await page.keyboard.press("Enter");
  await tabTo(page, ".menu-list a[href='/ada/-/upload']");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/ada/-/upload");
  await tabTo(page, "#package");
  await page.keyboard.type("by-keys");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Tab");
  await page.keyboard.type("1.0");
  await tabTo(page, "#files");
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.keyboard.press("Space")]);
  await chooser.setFiles([{ name: "k.txt", mimeType: "text/plain", buffer: Buffer.from("typed") }]);
  await tabTo(page, "#send");
  await page.keyboard.press("Enter");
  await page.locator("#total-text", { hasText: "1 of 1 file uploaded" }).waitFor();
  assert.ok(await page.evaluate(() => document.activeElement.matches("#look")), "the link to the version has the focus");
  await page.keyboard.press("Enter");
  await page.waitForURL(`**${page_of("by-keys", "1.0")}`);
  assert.deepEqual(await files("ada", "by-keys", "1.0"), { "k.txt": sha256("typed") });
  await done(browser);
});

test("signing in and uploading with the plain form work without JavaScript", async () => {
  const browser = await visit(site, { javaScriptEnabled: false });
  const { page } = browser;
  await page.goto("/ada/-/upload");
  await page.waitForURL("**/login?redirect_to=*");
  await page.getByLabel("Username or email address").fill("ada");
  await page.getByLabel("Password", { exact: true }).fill("correct horse battery staple");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL("**/ada/-/upload");
  assert.equal(await page.locator("[data-copy]:visible, [data-copy-from]:visible").count(), 0);
  await page.getByLabel("Package", { exact: true }).fill("plain");
  await page.getByLabel("Version", { exact: true }).fill("1.0");
  const dir = mkdtempSync(join(tmpdir(), "packhouse-plain-"));
  for (const name of ["one.txt", "two.txt"]) writeFileSync(join(dir, name), name);
  await page.locator("#files").setInputFiles([join(dir, "one.txt"), join(dir, "two.txt")]);
  await page.getByRole("button", { name: "Upload files", exact: true }).click();
  await page.waitForURL(`**${page_of("plain", "1.0")}`);
  rmSync(dir, { recursive: true });
  assert.deepEqual(await files("ada", "plain", "1.0"), { "one.txt": sha256("one.txt"), "two.txt": sha256("two.txt") });
  const got = await download(page, page.getByRole("link", { name: "one.txt" }).first());
  assert.equal(got.bytes.toString(), "one.txt");
  await page.locator("header details.menu summary").click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.locator("nav[aria-label=Account]").waitFor();
  await done(browser);
});
