// What only a browser shows of forms, menus and buttons: the focus, the clipboard, and what the upload page says.

import assert from "node:assert/strict";
import test from "node:test";
import { PASSWORD, WIDE, api, done, endWith, people, publish, serve, tabTo, visit, visitAs } from "./support.mjs";

const site = await serve();
endWith(site);
await people(site, "ada", "bea");
await api(site, "ada", "POST", "/api/v1/orgs", { username: "acme" });
for (const name of ["one", "two", "three"]) await publish(site, "ada", `ada/${name}/1.0/tool.bin`, name);

const focused = (page) => page.evaluate(() => document.activeElement.id);

test("a failed form has the focus on its problems, which lead to the fields", async () => {
  for (const javaScriptEnabled of [true, false]) {
    const browser = await visit(site, { javaScriptEnabled });
    const { page } = browser;
    await page.goto("/login");
    await page.getByLabel("Username or email address").fill("ada");
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.goto("/org/acme/settings");
    await page.locator("#rename-name").fill("other");
    await page.locator("#rename_password").fill("wrong password");
    await page.getByRole("button", { name: "Rename organization" }).click();
    await page.locator("#problems:focus").waitFor();
    const box = await page.locator("#problems").boundingBox();
    assert.ok(box.y >= 0 && box.y + box.height <= WIDE.height, "the problems are in view");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.locator("#rename_password").waitFor();
    await page.keyboard.type("typed");
    assert.equal(await page.locator("#rename_password").inputValue(), "typed", "the link leads into the field");
    assert.equal(await page.locator("#rename-name").inputValue(), "other", "what was typed stays");
    await done(browser);
  }
});

test("commands can be copied without https, and a blocked copy says so and selects the text", async () => {
  const elsewhere = { ...site, url: site.url.replace("127.0.0.1", "packages.test") };
  const browser = await visit(elsewhere);
  const { page } = browser;
  await page.goto("/ada/-/packages/generic/one/1.0");
  assert.equal(await page.evaluate(() => isSecureContext), false);
  const button = page.locator(".copy [data-copy-from]:visible").first();
  const command = await page.locator(`#${await button.getAttribute("data-copy-from")}`).textContent();
  await button.click();
  await page.locator("[data-label]", { hasText: "Copied" }).waitFor();
  await page.locator("#top-q").focus();
  await page.keyboard.press("Control+V");
  assert.equal(await page.locator("#top-q").inputValue(), command.replaceAll("\n", " ").slice(0, 255));
  await page.evaluate(() => { document.execCommand = () => false; });
  await button.click();
  const said = page.locator("#said", { hasText: "The browser blocked copying." });
  await said.waitFor();
  assert.ok((await said.boundingBox()).height > 20, "everybody sees it");
  assert.equal(await page.evaluate(() => getSelection().toString().trim()), command.trim());
  // Chromium says that it ignores a header that counts only with https.
  browser.wrong = browser.wrong.filter((line) => !line.includes("The Cross-Origin-Opener-Policy header has been ignored"));
  await done(browser);
});

test("the user menu closes when the focus leaves it and on Escape", async () => {
  const browser = await visitAs(site, "ada");
  const { page } = browser;
  const menu = page.locator("details.menu");
  await page.locator("details.menu summary").focus();
  await page.keyboard.press("Enter");
  assert.ok(await menu.evaluate((menu) => menu.open));
  await page.locator("details.menu button").focus();
  assert.ok(await menu.evaluate((menu) => menu.open), "the focus is in it");
  await page.keyboard.press("Tab");
  assert.ok(!await menu.evaluate((menu) => menu.open));
  await page.locator("details.menu summary").focus();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Escape");
  assert.ok(!await menu.evaluate((menu) => menu.open));
  assert.ok(await page.locator("details.menu summary").evaluate((summary) => summary === document.activeElement));
  await done(browser);
});

test("the tab key stops once in each row of packages, after the skip link", async () => {
  const browser = await visitAs(site, "ada");
  const { page } = browser;
  await page.goto("/");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  assert.equal(await focused(page), "content");
  await tabTo(page, ".packages tbody tr:first-child th a");
  for (const row of [2, 3]) {
    await page.keyboard.press("Tab");
    assert.ok(await page.evaluate((row) => document.activeElement.matches(`.packages tbody tr:nth-child(${row}) th a`), row));
  }
  await done(browser);
});

test("the upload page says only what is true of the names that are typed", async () => {
  const browser = await visitAs(site, "ada");
  const { page } = browser;
  await page.goto("/ada/-/upload");
  await page.locator("#package").fill("fresh");
  await page.locator("#state", { hasText: "This creates a new package." }).waitFor();
  await page.route("**/-/upload?*", (route) => route.abort());
  await page.locator("#package").fill("not a name");
  assert.equal((await page.locator("#state").textContent()).trim(), "", "nothing is said about an invalid name");
  await page.unroute("**/-/upload?*");
  browser.wrong.length = 0;
  await page.locator("#package").fill("one");
  await page.locator("#version").fill("1.0");
  await page.locator("#exists").waitFor();
  await page.locator("#files").setInputFiles([{ name: "tool.bin", mimeType: "text/plain", buffer: Buffer.from("x") }]);
  await page.getByRole("button", { name: "Upload files", exact: true }).click();
  await page.locator("#said", { hasText: "No file can be uploaded." }).waitFor();
  assert.ok(await page.evaluate(() => document.activeElement.matches("#queue input")), "the name can be changed at once");
  await done(browser);
});

test("canceled uploads are counted as canceled", async () => {
  const browser = await visitAs(site, "ada");
  const { page } = browser;
  await page.goto("/ada/-/upload?package=big&version=1");
  const held = [];
  await page.route("**/-/upload/big/1/*", (route) => (route.request().url().endsWith("small.bin") ? route.continue() : held.push(route)));
  const file = (name) => ({ name, mimeType: "text/plain", buffer: Buffer.from(name) });
  await page.locator("#files").setInputFiles([file("small.bin"), file("a.bin"), file("b.bin")]);
  await page.getByRole("button", { name: "Upload files", exact: true }).click();
  await page.locator("#queue .badge.good").waitFor();
  await page.getByRole("button", { name: "Cancel all uploads" }).click();
  await page.locator("#total-text", { hasText: "1 of 3 files uploaded, 2 canceled" }).waitFor();
  assert.equal(await page.locator("#said").textContent(), "1 of 3 files uploaded, 2 canceled");
  for (const route of held) await route.abort().catch(() => {});
  browser.wrong.length = 0;
  await done(browser);
});

test("a page of the audit log has one line a record", async () => {
  for (let at = 0; at < 50; at++) await publish(site, "ada", `ada/${"long-name-".repeat(8)}/1.0/${"file-".repeat(20)}${at}`, "x");
  const browser = await visitAs(site, "admin");
  const { page } = browser;
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.goto("/-/admin/audit");
  const heights = await page.locator("#records tbody tr").evaluateAll((rows) => rows.map((row) => row.getBoundingClientRect().height));
  assert.equal(heights.length, 40);
  assert.ok(Math.max(...heights) < 40, `${Math.max(...heights)} px`);
  // The newest record is of the sign-in.
  await page.locator("#records summary").nth(1).click();
  const opened = await page.locator("#records tr:has(details[open]) .record > span").boundingBox();
  assert.ok(opened.height > 40, "the whole name is shown");
  await page.setViewportSize({ width: 390, height: 844 });
  await page.reload();
  assert.ok(await page.evaluate(() => document.documentElement.scrollHeight) < 7500);
  await done(browser);
});
