// Organization pages: members, teams, renaming, deleting.

import assert from "node:assert/strict";
import test from "node:test";
import { api, done, endWith, inspect, PASSWORD, people, publish, serve, visit, visitAs } from "./support.mjs";

const site = await serve();
endWith(site);
await people(site, "ada", "bea");

test("create an organization, add a member who publishes, then leaves", async () => {
  const ada = await visitAs(site, "ada");
  const { page } = ada;
  await page.goto("/org/create");
  await inspect(page);
  await page.getByLabel("Name", { exact: true }).fill("acme corp");
  await page.locator("#name-live", { hasText: "letters" }).waitFor();
  await page.getByLabel("Name", { exact: true }).fill("acme");
  await page.getByLabel("Full name").fill("Acme Corporation");
  await page.getByRole("radio", { name: /^Private/ }).check();
  await page.getByRole("button", { name: "Create organization" }).click();
  await page.waitForURL((url) => url.pathname.includes("acme"));
  await page.locator(".notice.good").waitFor();

  // Other users see nothing, and members see what their team may.
  const bea = await visitAs(site, "bea");
  await bea.page.goto("/acme");
  assert.ok((await bea.page.locator("h1").textContent()).includes("Page not found"));

  await page.goto("/org/acme/teams");
  await inspect(page);
  await page.getByLabel("Name", { exact: true }).fill("Builders");
  await page.getByRole("radio", { name: /^Write/ }).check();
  await page.getByRole("button", { name: "Create team" }).click();
  await page.waitForURL("**/org/acme/teams/Builders");
  await inspect(page);
  await page.getByLabel("Username").fill("nobody");
  await page.getByRole("button", { name: "Add member" }).click();
  await page.locator(".field-problem").waitFor();
  await inspect(page);
  await page.getByLabel("Username").fill("bea");
  await page.getByRole("button", { name: "Add member" }).click();
  await page.getByRole("row", { name: /bea/ }).waitFor();
  await inspect(page);

  await publish(site, "bea", "acme/radio/1.0/radio.bin", "bytes");
  await bea.page.goto("/acme");
  await bea.page.locator("h1", { hasText: "acme" }).waitFor();
  await inspect(bea.page);
  for (const path of ["/org/acme/members", "/org/acme/teams", "/org/acme/teams/Builders"]) {
    await bea.page.goto(path);
    assert.equal(new URL(bea.page.url()).pathname, path);
    await inspect(bea.page);
  }
  const refused = await bea.page.goto("/org/acme/settings");
  assert.equal(refused.status(), 403, "only owners see the settings");

  await page.goto("/org/acme/members");
  await inspect(page);
  await bea.page.goto("/org/acme/members/bea/remove");
  await inspect(bea.page);
  await bea.page.getByRole("button", { name: "Leave acme" }).click();
  await bea.page.locator(".notice.good").waitFor();
  await bea.page.goto("/acme");
  assert.ok((await bea.page.locator("h1").textContent()).includes("Page not found"));
  await done(bea);
  await done(ada);
});

test("an organization is renamed, and its old address redirects", async () => {
  await api(site, "ada", "POST", "/api/v1/orgs", { username: "early", visibility: "public" });
  const browser = await visitAs(site, "ada");
  const { page } = browser;
  await page.goto("/org/early/settings");
  await inspect(page);
  await page.getByLabel("New name").fill("late");
  await page.locator("form[action$='/rename']").getByLabel("Your password").fill(PASSWORD);
  await page.getByRole("button", { name: "Rename organization" }).click();
  await page.locator(".notice.good").waitFor();
  const stranger = await visit(site);
  await stranger.page.goto("/early");
  await stranger.page.waitForURL("**/late");
  await done(stranger);
  await page.goto("/org/late/settings");
  await page.getByLabel(/Type late to confirm/).fill("late");
  await page.locator("form[action$='/delete']").getByLabel("Your password").fill(PASSWORD);
  await page.getByRole("button", { name: "Delete organization" }).click();
  await page.locator(".notice.good").waitFor();
  await done(browser);
});
