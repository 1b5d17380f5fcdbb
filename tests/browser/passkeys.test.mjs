// Passkeys with Chromium's virtual authenticator: added, used alone, as the second factor and to confirm, copied, at another
// address, and removed.

import assert from "node:assert/strict";
import test from "node:test";
import { api, done, endWith, freePort, inspect, PASSWORD, people, serve, signIn, signOut, visit } from "./support.mjs";

const port = await freePort();
const site = await serve({ PACKHOUSE_LISTEN: `127.0.0.1:${port}`, PACKHOUSE_PUBLIC_URL: `http://localhost:${port}` });
// Browsers have passkeys for a name, and not for an address.
site.url = `http://localhost:${port}`;
endWith(site);
await people(site, "ada", "bea", "cleo", "dora");

/** Gives a page an authenticator that says yes to everything, like a phone whose owner does. */
async function authenticator(page) {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("WebAuthn.enable");
  const { authenticatorId } = await cdp.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  return {
    count: async () => (await cdp.send("WebAuthn.getCredentials", { authenticatorId })).credentials.length,
    /** Its only passkey, with the private key and the counter. */
    copy: async () => (await cdp.send("WebAuthn.getCredentials", { authenticatorId })).credentials[0],
    /** Has only this passkey from now on. */
    async become(credential) {
      await cdp.send("WebAuthn.clearCredentials", { authenticatorId });
      await cdp.send("WebAuthn.addCredential", { authenticatorId, credential });
    },
    /** Whether its owner proves who they are. */
    verify: (isUserVerified) => cdp.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified }),
  };
}

async function add(page, name, twoFactor = false) {
  await page.goto("/user/settings/security/passkeys/new");
  await page.getByLabel("Name", { exact: true }).fill(name);
  if (twoFactor) await page.getByLabel("Turn on two-factor authentication").check();
  await page.getByLabel("Your password").fill(PASSWORD);
  await page.getByRole("button", { name: "Add passkey" }).click();
}

test("a passkey is added, signs in with one click, confirms, and is removed", async () => {
  const browser = await visit(site);
  const { page } = browser;
  const device = await authenticator(page);
  await page.goto("/login");
  await inspect(page);
  await signIn(page, "ada");
  await page.goto("/user/settings/security");
  await inspect(page);
  await page.getByRole("link", { name: "Add a passkey" }).click();
  await page.waitForURL("**/passkeys/new");
  await inspect(page);

  // A wrong password makes no passkey.
  await page.getByLabel("Your password").fill("wrong password");
  await page.getByRole("button", { name: "Add passkey" }).click();
  await page.getByText("Incorrect password.").waitFor();
  assert.equal(await device.count(), 0);
  await add(page, "Laptop");
  await page.waitForURL("**/user/settings/security");
  assert.equal(await device.count(), 1);
  assert.deepEqual(await page.locator("#passkey-list tbody th").allTextContents(), ["Laptop"]);
  await inspect(page);

  await signOut(page);
  await page.goto("/login?redirect_to=%2Fuser%2Fsettings%2Fsecurity");
  await page.getByRole("button", { name: "Sign in with a passkey" }).click();
  await page.waitForURL("**/user/settings/security");

  // It stands for the password in a form, whose other fields stay as they are.
  await page.goto("/user/settings/email");
  await page.getByLabel("Email").fill("ada@new.example.org");
  await page.getByRole("button", { name: "Use a passkey instead" }).click();
  await page.getByText("You have confirmed that it's you.").waitFor();
  await page.locator("main form button[type=submit]").click();
  await page.locator("[role=status].notice").waitFor();

  await page.goto("/user/settings/security");
  await page.getByRole("link", { name: "Rename Laptop" }).click();
  await page.waitForURL("**/rename");
  await inspect(page);
  await page.getByLabel("Name", { exact: true }).fill("Old laptop");
  await page.getByRole("button", { name: "Rename passkey" }).click();
  await page.waitForURL("**/user/settings/security");
  await page.getByRole("link", { name: "Remove… Old laptop" }).click();
  await page.waitForURL("**/remove");
  await inspect(page);
  await page.getByRole("button", { name: "Remove passkey" }).click();
  await page.waitForURL("**/user/settings/security");
  await page.getByText("You have no passkeys.").waitFor();

  // The device still offers it.
  await signOut(page);
  await page.goto("/login");
  await page.getByRole("button", { name: "Sign in with a passkey" }).click();
  await page.locator("#problems").waitFor();
  assert.match(await page.locator("#problems").textContent(), /This passkey was not accepted/);
  await inspect(page);
  await done(browser);
});

test("a passkey is the second factor beside a password", async () => {
  const browser = await visit(site);
  const { page } = browser;
  const device = await authenticator(page);
  await signIn(page, "bea");
  await add(page, "Key", true);
  await page.locator("#codes").waitFor();
  await inspect(page);
  await page.getByRole("link", { name: "Done" }).click();
  await page.waitForURL("**/user/settings/security");
  await inspect(page);
  await signOut(page);
  await page.goto("/login");
  await page.getByLabel("Username or email address").fill("bea");
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.waitForURL("**/login/two-factor?**");
  await inspect(page);

  // Somebody else has the device, and does not know its PIN.
  await device.verify(false);
  await page.getByRole("button", { name: "Use a passkey" }).click();
  await page.getByText("No passkey was used.").waitFor();
  await device.verify(true);
  await page.getByRole("button", { name: "Use a passkey" }).click();
  await page.locator("details.menu summary").waitFor();
  await done(browser);
});

test("without JavaScript, nothing offers a passkey", async () => {
  const browser = await visit(site, { javaScriptEnabled: false });
  const { page } = browser;
  await page.goto("/login");
  assert.equal(await page.getByRole("button", { name: "passkey" }).count(), 0);
  await signIn(page, "ada");
  await page.goto("/user/settings/security/passkeys/new");
  assert.ok(await page.getByText("This needs a browser with JavaScript").isVisible());
  assert.equal(await page.getByRole("button", { name: "Add passkey" }).count(), 0);
  await done(browser);
});

test("a copied passkey is refused after its original was used again", async () => {
  const browser = await visit(site);
  const { page } = browser;
  const device = await authenticator(page);
  await signIn(page, "cleo");
  await add(page, "Phone");
  await page.waitForURL("**/user/settings/security");
  const copy = await device.copy();
  for (const way of ["the original", "the copy"]) {
    if (way === "the copy") await device.become(copy);
    await signOut(page);
    await page.goto("/login?redirect_to=%2Fuser%2Fsettings%2Fsecurity");
    await page.getByRole("button", { name: "Sign in with a passkey" }).click();
    if (way === "the original") await page.waitForURL("**/user/settings/security");
  }
  await page.locator("#problems").waitFor();
  assert.match(await page.locator("#problems").textContent(), /This passkey was not accepted/);
  await done(browser);
  const [entry] = await api(site, "admin", "GET", "/api/v1/admin/audit?event=user.passkey.refuse");
  assert.equal(entry.detail.reason, "counter");
});

test("a passkey opens nothing at another address of the same server", async () => {
  const browser = await visit(site);
  const { page } = browser;
  await authenticator(page);
  await signIn(page, "dora");
  await add(page, "Phone");
  await page.waitForURL("**/user/settings/security");
  await page.goto(`http://127.0.0.1:${port}/login`);
  await page.getByRole("button", { name: "Sign in with a passkey" }).click();
  await page.getByText("Passkeys don't work at this address. Open the site at its own address.").waitFor();
  await inspect(page);
  await page.goto(`http://127.0.0.1:${port}/user/settings/security`);
  await page.waitForURL("**/login?**");
  await done(browser);
});
