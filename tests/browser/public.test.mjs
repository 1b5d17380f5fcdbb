// Public pages: sign-in, the manual, pages that don't exist, color themes.

import assert from "node:assert/strict";
import test from "node:test";
import { done, endWith, inspect, PASSWORD, serve, tabTo, visit } from "./support.mjs";

const site = await serve();
endWith(site);

test("sign-in, manual and missing pages are accessible and without errors", async () => {
  const browser = await visit(site);
  const { page } = browser;
  for (const path of ["/login", "/docs/", "/docs/nothing/"]) {
    await page.goto(path);
    await inspect(page);
  }
  await done(browser);
});

test("every page of the manual is accessible", async () => {
  const browser = await visit(site);
  const { page } = browser;
  await page.goto("/docs/");
  let next = page.locator(".manual-turn [rel=next]");
  while (await next.count()) {
    await next.click();
    const unseen = await page.locator(".prose :is(h1, h2, h3)").evaluateAll((headings) =>
      headings.filter((heading) => !(heading.firstElementChild ?? heading).checkVisibility({ opacityProperty: true })).length);
    assert.equal(unseen, 0, `invisible headings on ${page.url()}`);
    await inspect(page, { schemes: ["light"] });
  }
  await done(browser);
});

test("the copy button of the manual copies a command", async () => {
  const browser = await visit(site, { permissions: ["clipboard-read", "clipboard-write"] });
  const { page } = browser;
  await page.goto("/docs/getting-started/");
  const box = page.locator(".prose .copy").first();
  await box.getByRole("button", { name: "Copy" }).click();
  await page.locator("#said", { hasText: "Copied" }).waitFor({ state: "attached" });
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), await box.locator("code").textContent());
  await done(browser);
});

test("the color theme follows the system or the choice of the reader", async () => {
  const browser = await visit(site, { colorScheme: "dark" });
  const { page } = browser;
  const background = () => page.evaluate(() => getComputedStyle(document.body.parentElement).backgroundColor);
  await page.goto("/docs/");
  const dark = await background();
  await page.getByRole("button", { name: "Light" }).click();
  await page.waitForURL("**/docs/");
  await page.locator("html[data-theme=light]").waitFor();
  assert.notEqual(await background(), dark);
  await page.getByRole("button", { name: "System" }).click();
  await page.locator("html[data-theme=system]").waitFor();
  assert.equal(await background(), dark);
  await done(browser);
});

test("signing in, navigating and signing out work with only the keyboard", async () => {
  const browser = await visit(site);
  const { page } = browser;
  await page.goto("/docs/getting-started/");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip", "the first stop is the link that skips the header");
  await tabTo(page, "nav[aria-label=Account] a");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/login?redirect_to=*");
  await tabTo(page, "#name");
  await page.keyboard.type("admin");
  await page.keyboard.press("Tab");
  await page.keyboard.type(PASSWORD);
  await page.keyboard.press("Enter");
  await page.waitForURL("**/docs/getting-started/");
  await tabTo(page, "details.menu summary");
  await page.keyboard.press("Enter");
  await tabTo(page, ".menu-list button");
  await page.keyboard.press("Escape");
  assert.ok(await page.evaluate(() => document.activeElement.matches("details.menu:not([open]) summary")));
  await page.keyboard.press("Enter");
  await tabTo(page, ".menu-list button");
  await page.keyboard.press("Enter");
  await page.locator("nav[aria-label=Account]").waitFor();
  await done(browser);
});
