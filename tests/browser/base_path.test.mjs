// A site below a path of its host: what scripts load and send has the path too.

import assert from "node:assert/strict";
import test from "node:test";
import { api, done, drop, endWith, people, serve, visitAs } from "./support.mjs";

// The server understands the path by itself, so the test needs no proxy.
const site = await serve({ PACKHOUSE_PUBLIC_URL: "http://127.0.0.1/depot" });
endWith(site);
await people(site, "ada");

test("below a path, people sign in, upload with progress and sign out", async () => {
  const browser = await visitAs({ ...site, url: `${site.url}/depot/` }, "ada");
  const { page } = browser;
  const outside = [];
  page.on("request", (request) => {
    const { protocol, pathname } = new URL(request.url());
    if (protocol === "http:" && !pathname.startsWith("/depot/")) outside.push(request.url());
  });
  await page.locator("header details.menu summary").click();
  await page.getByRole("link", { name: "Upload files" }).first().click();
  await page.getByLabel("Package", { exact: true }).fill("tool");
  await page.getByLabel("Version", { exact: true }).fill("1.0");
  await page.locator("#state", { hasText: "This creates a new package" }).waitFor();
  await drop(page, "#drop", [{ name: "a.txt", content: Buffer.from("a") }]);
  await page.getByRole("button", { name: "Upload files", exact: true }).click();
  await page.locator("#total-text", { hasText: "1 of 1 file uploaded" }).waitFor();
  await page.getByRole("link", { name: "View version" }).click();
  await page.waitForURL("**/depot/ada/-/packages/generic/tool/1.0");
  await page.goto(`${site.url}/depot/org/create`);
  await page.locator("[data-owner-name]").fill("acme");
  await page.getByText("The address will be http://127.0.0.1/depot/acme").waitFor();
  await page.goto(`${site.url}/depot/api/swagger`);
  await page.locator("#swagger-ui .opblock").first().waitFor();
  await page.goto(`${site.url}/depot/`);
  await page.locator("header details.menu summary").click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("link", { name: "Sign in" }).first().waitFor();
  assert.deepEqual(outside, []);
  assert.equal((await api(site, "ada", "GET", "/api/v1/packages/ada")).length, 1);
  await done(browser);
});
