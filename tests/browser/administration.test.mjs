// Administration pages: locking users, approving registrations.

import assert from "node:assert/strict";
import test from "node:test";
import { api, done, endWith, inspect, PASSWORD, people, serve, signIn, visit, visitAs } from "./support.mjs";

const site = await serve({ PACKHOUSE_REGISTRATION_ENABLED: "true", PACKHOUSE_REGISTRATION_NEEDS_APPROVAL: "true" });
endWith(site);
await people(site, "ada", "bea");

test("locking a user ends sessions and tokens, and unlocking undoes it", async () => {
  const { sha1: token } = await api(site, "ada", "POST", "/api/v1/users/ada/tokens", { name: "ci", scopes: ["read:user"] });
  const admin = await visitAs(site, "admin"), ada = await visitAs(site, "ada");
  await ada.page.goto("/user/settings");
  assert.equal(new URL(ada.page.url()).pathname, "/user/settings");
  const { page } = admin;
  await page.goto("/-/admin/users");
  await inspect(page);
  await page.getByRole("row", { name: /ada/ }).getByRole("link").first().click();
  await page.waitForURL("**/-/admin/users/ada");
  await inspect(page);
  await page.locator("summary", { hasText: "Lock account" }).click();
  await page.getByRole("button", { name: "Lock account", exact: true }).click();
  await page.locator("#standing", { hasText: "Locked" }).waitFor();
  await inspect(page);

  await ada.page.goto("/user/settings");
  await ada.page.waitForURL("**/login?redirect_to=*");
  const answer = () => fetch(`${site.url}/api/v1/user`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal((await answer()).status, 401);
  await ada.page.getByLabel("Username or email address").fill("ada");
  await ada.page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await ada.page.getByRole("button", { name: "Sign in" }).click();
  await ada.page.locator("[role=alert]").waitFor();

  await page.getByRole("button", { name: "Unlock account" }).click();
  await page.locator("summary", { hasText: "Lock account" }).waitFor();
  assert.equal((await answer()).status, 200);
  await ada.page.goto("/user/settings");
  await ada.page.waitForURL("**/login?redirect_to=*", { timeout: 5_000 });
  await done(ada);
  await done(admin);
});

test("the administration pages are hidden from other users", async () => {
  const browser = await visitAs(site, "bea");
  for (const path of ["/-/admin", "/-/admin/users", "/-/admin/users/ada"]) {
    const answer = await browser.page.goto(path);
    assert.equal(answer.status(), 404, path);
  }
  await done(browser);
  const stranger = await visit(site);
  await stranger.page.goto("/-/admin");
  await stranger.page.waitForURL("**/login?redirect_to=*");
  await done(stranger);
});

test("a new account waits until an administrator approves it", async () => {
  const browser = await visit(site);
  const { page } = browser;
  await page.goto("/login");
  await page.locator("main").getByRole("link", { name: "Create account" }).click();
  await page.waitForURL("**/register**");
  await page.getByLabel("Username", { exact: true }).fill("newcomer");
  await page.getByLabel("Email address").fill("newcomer@example.org");
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByLabel("Confirm password").fill("something else");
  await page.getByRole("button", { name: "Create account" }).click();
  await page.locator(".field-problem").first().waitFor();
  await inspect(page);
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByLabel("Confirm password").fill(PASSWORD);
  await page.getByRole("button", { name: "Create account" }).click();
  await page.locator(".notice").waitFor();

  const admin = await visitAs(site, "admin");
  await admin.page.goto("/-/admin");
  await inspect(admin.page);
  await admin.page.locator("#waiting a").click();
  await admin.page.getByRole("row", { name: /newcomer/ }).getByRole("link").first().click();
  await admin.page.waitForURL("**/-/admin/users/newcomer");
  await inspect(admin.page);
  await admin.page.getByRole("button", { name: "Approve account" }).click();
  await admin.page.locator("#standing", { hasNotText: "Pending" }).waitFor();
  await done(admin);
  await signIn(page, "newcomer");
  await done(browser);
});
