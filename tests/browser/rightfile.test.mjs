// The right file: the button for this computer, the menus of the list of files, the texts for other programs, the page of a
// package and a comparison.

import assert from "node:assert/strict";
import test from "node:test";
import { api, done, download, endWith, inspect, people, publish, serve, tabTo, visit } from "./support.mjs";

const site = await serve();
endWith(site);
await people(site, "ada");
const FILES = {
  "tool-2.0.0-linux-amd64.tar.gz": "for Linux",
  "tool-2.0.0-linux-amd64.tar.gz.sha256": "digest",
  "tool-2.0.0-linux-arm64.tar.gz": "for Linux on arm64",
  "tool-2.0.0-darwin-universal.zip": "for macOS",
  "tool-2.0.0-windows-amd64.msi": "for Windows, the largest of all files",
  "docs/guide.txt": "a guide",
};
for (const [name, content] of Object.entries(FILES)) {
  await api(site, "ada", "PUT", `/api/packages/ada/generic/tool/2.0.0/${name}`, Buffer.from(content));
}
await publish(site, "ada", "ada/tool/1.0.0/tool-1.0.0-linux-amd64.tar.gz", "old");
const PAGE = "/ada/-/packages/generic/tool/2.0.0";
const AGENTS = {
  "macOS universal": ["macOS", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15"],
  "Windows x86-64": ["Windows", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0"],
};

test("one click downloads the file for this computer", async () => {
  const browser = await visit(site);
  const { page } = browser;
  await page.goto(PAGE);
  const got = await download(page, page.getByRole("link", { name: "Download for Linux" }));
  assert.match(got.bytes.toString(), /^for Linux/);
  await done(browser);
});

for (const [label, [platform, userAgent]] of Object.entries(AGENTS)) {
  test(`${label} gets its own file`, async () => {
    const browser = await visit(site, { userAgent, extraHTTPHeaders: { "sec-ch-ua-platform": `"${platform}"` } });
    await browser.page.goto(PAGE);
    await browser.page.getByRole("link", { name: `Download for ${label}` }).waitFor();
    await done(browser);
  });
}

test("the menu of a row opens with the keyboard, is whole, and closes with Escape", async () => {
  const browser = await visit(site);
  const { page } = browser;
  await page.goto(PAGE);
  const menu = page.locator("tr", { hasText: "windows-amd64.msi" }).locator("details.menu");
  await menu.locator("summary").focus();
  await page.keyboard.press("Enter");
  const list = menu.locator(".menu-list");
  await list.waitFor();
  // Nothing cuts it off: its last line is what is there.
  const last = list.locator("a.more").last();
  await last.scrollIntoViewIfNeeded();
  assert.ok(await last.evaluate((link) => {
    const { left, top, width, height } = link.getBoundingClientRect();
    return link.contains(document.elementFromPoint(left + width / 2, top + height / 2));
  }));
  await inspect(page);
  await last.focus();
  await page.keyboard.press("Escape");
  await list.waitFor({ state: "hidden" });
  assert.ok(await menu.locator("summary").evaluate((summary) => summary === document.activeElement));
  const name = await menu.locator("summary").getAttribute("aria-label");
  assert.equal(name, "More about tool-2.0.0-windows-amd64.msi");
  await done(browser);
});

test("texts for other programs are chosen without JavaScript", async () => {
  const browser = await visit(site, { javaScriptEnabled: false });
  const { page } = browser;
  await page.goto(PAGE);
  await page.getByText("Use it in…").click();
  assert.ok(await page.locator("#use-mise").isVisible());
  await page.locator(".use-in label", { hasText: "Dockerfile" }).click();
  assert.ok(await page.locator("#use-docker").isVisible());
  assert.ok(!(await page.locator("#use-mise").isVisible()));
  await done(browser);
});

test("What changed leads to the comparison, and another version is one form away", async () => {
  const browser = await visit(site);
  const { page } = browser;
  await page.goto(PAGE);
  await page.getByRole("link", { name: "What changed since 1.0.0" }).click();
  await page.locator(".differences").waitFor();
  await inspect(page);
  await page.getByLabel("From").fill("2.0.0");
  await page.getByRole("button", { name: "Compare versions" }).click();
  await page.getByText("All files are the same.").waitFor();
  await done(browser);
});

test("the page of a package is accessible with its numbers open", async () => {
  const browser = await visit(site);
  const { page } = browser;
  await page.goto("/ada/-/packages/generic/tool/versions");
  await page.getByText("Show numbers").first().click();
  await inspect(page);
  await tabTo(page, "a.latest");
  await page.keyboard.press("Enter");
  await page.waitForURL(`**${PAGE}`);
  await done(browser);
});
