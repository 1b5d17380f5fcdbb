// Account pages: two-factor authentication, sessions, access tokens, the password.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import {
  api, curl, done, download, endWith, inspect, PASSWORD, people, serve, signIn, totp, visit, visitAs,
} from "./support.mjs";

const site = await serve();
endWith(site);
await people(site, "ada", "bea", "cy", "dan", "eve");

/** Signs in with the password, up to the page that asks for the two-factor code. */
async function passwordOf(page, name) {
  await page.goto("/login");
  await page.getByLabel("Username or email address").fill(name);
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL("**/login/two-factor?**");
}

test("two-factor setup, sign-in with a code, and a recovery code once", async () => {
  const browser = await visitAs(site, "ada");
  const { page } = browser;
  await page.goto("/user/settings/security");
  await inspect(page);
  await page.getByRole("link", { name: "Set up two-factor authentication" }).click();
  await page.waitForURL("**/security/enroll");
  await inspect(page);
  const picture = page.locator("img.qr");
  assert.ok(await picture.evaluate((image) => image.complete && image.naturalWidth > 0), "the QR code is shown");
  const seed = (await page.locator("#seed").textContent()).trim();
  await page.getByLabel("Code from the app").fill("000000");
  await page.getByLabel("Your password").fill(PASSWORD);
  await page.getByRole("button", { name: "Turn on two-factor authentication" }).click();
  await page.locator("#code-problem").waitFor();
  await inspect(page);
  assert.equal((await page.locator("#seed").textContent()).trim(), seed, "a wrong code does not change the secret");
  await page.getByLabel("Code from the app").fill(totp(seed));
  await page.getByLabel("Your password").fill(PASSWORD);
  await page.getByRole("button", { name: "Turn on two-factor authentication" }).click();
  await page.locator("#codes").waitFor();
  await inspect(page);
  const codes = (await page.locator("#codes").textContent()).trim().split("\n");
  assert.ok(codes.length >= 8 && new Set(codes).size === codes.length, codes.join());
  const kept = await download(page, page.getByRole("link", { name: "Download" }));
  assert.ok(codes.every((code) => kept.bytes.toString().includes(code)), "the file contains the codes");
  await page.locator("details.menu summary").click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.locator("nav[aria-label=Account]").waitFor();

  await passwordOf(page, "ada");
  await inspect(page);
  await page.getByLabel("Code").fill("123 456");
  await page.getByRole("button", { name: "Continue" }).click();
  await page.locator("[role=alert]").waitFor();
  // The current code was used up above.
  await page.getByLabel("Code").fill(totp(seed, 1));
  await page.getByRole("button", { name: "Continue" }).click();
  await page.locator("details.menu summary").waitFor();
  for (const path of ["", "/recovery-codes", "/disable"]) {
    assert.equal((await page.goto(`/user/settings/security${path}`)).status(), 200);
    await inspect(page);
  }
  await done(browser);

  const admin = await visitAs(site, "admin");
  for (const path of ["", "/second-factor"]) {
    assert.equal((await admin.page.goto(`/-/admin/users/ada${path}`)).status(), 200);
    await inspect(admin.page);
  }
  await done(admin);

  for (const lets of [true, false]) {
    const other = await visit(site);
    await passwordOf(other.page, "ada");
    await other.page.getByLabel("Code").fill(codes[0]);
    await other.page.getByRole("button", { name: "Continue" }).click();
    await other.page.locator(lets ? "details.menu summary" : "[role=alert]").waitFor();
    await done(other);
  }
});

test("a new token is shown once, publishes with curl, and can be revoked", async () => {
  const browser = await visitAs(site, "bea");
  const { page } = browser;
  await page.goto("/user/settings/tokens");
  await inspect(page);
  await page.goto("/user/settings/tokens/new");
  await inspect(page);
  const secret = await makeToken(page, "build server");
  await inspect(page);
  const dir = mkdtempSync(join(tmpdir(), "packhouse-token-"));
  writeFileSync(join(dir, "hello.txt"), "hello, world\n");
  const url = `${site.url}/api/packages/bea/generic/hello/1.0/hello.txt`;
  curl("-H", `Authorization: Bearer ${secret}`, "-T", join(dir, "hello.txt"), url);
  assert.equal(curl(url).toString(), "hello, world\n");
  rmSync(dir, { recursive: true });
  await page.goto("/user/settings/tokens");
  assert.ok(!(await page.content()).includes(secret), "the secret is shown only once");
  await inspect(page);
  await revokeToken(page, "build server");
  const answer = await fetch(url, { headers: { authorization: `Bearer ${secret}` } });
  assert.equal(answer.status, 401);
  await done(browser);
});

test("a token is created without JavaScript and can publish", async () => {
  const browser = await visitAs(site, "cy", { javaScriptEnabled: false });
  const secret = await makeToken(browser.page, "plain");
  curl("-H", `Authorization: Bearer ${secret}`, "--data-binary", "plain", "-X", "PUT",
    `${site.url}/api/packages/cy/generic/hello/1.0/hello.txt`);
  await done(browser);
});

test("signing out everywhere ends the sessions in all browsers immediately", async () => {
  const here = await visitAs(site, "dan"), there = await visitAs(site, "dan");
  await here.page.goto("/user/settings/security");
  assert.equal(await here.page.locator("main tbody tr").count(), 2);
  await inspect(here.page);
  await here.page.locator("summary", { hasText: "Sign out everywhere" }).click();
  await here.page.getByRole("button", { name: "Sign out everywhere" }).click();
  for (const { page } of [here, there]) {
    await page.goto("/user/settings");
    await page.waitForURL("**/login?redirect_to=*");
  }
  await done(here);
  await done(there);
});

test("a new password ends other sessions and replaces the old password", async () => {
  const here = await visitAs(site, "eve"), there = await visitAs(site, "eve");
  const { page } = here;
  await page.goto("/user/settings/password");
  await inspect(page);
  await page.getByLabel("Current password").fill(PASSWORD);
  await page.getByLabel("New password", { exact: true }).fill("short");
  await page.getByLabel("Confirm new password").fill("short");
  await page.getByRole("button", { name: "Change password" }).click();
  await page.locator(".field-problem").first().waitFor();
  await inspect(page);
  const chosen = "a longer one, with some words";
  await page.getByLabel("Current password").fill(PASSWORD);
  await page.getByLabel("New password", { exact: true }).fill(chosen);
  await page.getByLabel("Confirm new password").fill(chosen);
  await page.getByRole("button", { name: "Change password" }).click();
  await page.locator(".notice.good").waitFor();
  await there.page.goto("/user/settings");
  await there.page.waitForURL("**/login?redirect_to=*");
  await signIn(there.page, "eve", chosen);
  await done(here);
  await done(there);
});

/** Creates a token that may publish, and returns its secret. */
async function makeToken(page, name) {
  await page.goto("/user/settings/tokens");
  await page.getByRole("link", { name: "Create token" }).click();
  await page.waitForURL("**/user/settings/tokens/new");
  await page.getByLabel("Name", { exact: true }).fill(name);
  await page.getByRole("radio", { name: /publish/i }).first().check();
  await page.getByLabel("Your password").fill(PASSWORD);
  await page.getByRole("button", { name: "Create token" }).click();
  return (await page.locator("#secret").textContent()).trim();
}

async function revokeToken(page, name) {
  await page.getByRole("link", { name: `Revoke token… ${name}` }).click();
  await page.getByRole("button", { name: "Revoke token" }).waitFor();
  await inspect(page);
  await page.getByRole("button", { name: "Revoke token" }).click();
  await page.locator(".notice.good").waitFor();
}
