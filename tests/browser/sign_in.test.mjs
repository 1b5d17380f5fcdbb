// Signing in with real OpenID Connect providers: oidc-provider, which is certified, and Canaille, an identity server.

import assert from "node:assert/strict";
import test from "node:test";
import { serveProvider } from "./certified_provider.mjs";
import { servePython } from "./python.mjs";
import { api, done, endWith, freePort, inspect, PASSWORD, people, serve, signIn, signOut, visit } from "./support.mjs";

const SECRET = "the secret of the client";
const port = await freePort();
// Another host than the providers', as it is outside of tests: cookies of one host are sent to all of its ports.
const url = `http://localhost:${port}`;
const callback = (name) => `${url}/login/oidc/${name}/callback`;

// --- The providers ---

const person = (name, groups) => ({
  name: "A Person", preferred_username: name, email: `${name}@example.org`, email_verified: true, groups,
});
const known = {
  grace: person("grace", ["developers"]), henry: person("henry", []), iris: person("iris", []),
};

/** What a person does at oidc-provider. The form accepts any password. */
const certified = {
  name: "certified",
  label: "Certified",
  issuer: await serveProvider({
    clientId: "packhouse", clientSecret: SECRET, redirectUri: callback("certified"), people: known,
  }),
  member: "grace",
  other: "henry",
  third: "iris",
  form: (page) => page.locator("input[name=login]"),
  async fill(page, name) {
    await page.locator("input[name=login]").fill(name);
    await page.locator("input[name=password]").fill(PASSWORD);
    await page.getByRole("button", { name: "Sign-in" }).click();
  },
  consent: (page) => page.getByRole("button", { name: "Continue" }),
  async signOut(page) {
    await page.getByRole("button", { name: "Yes, sign me out" }).click();
  },
  confirms: true,
  signedOut: (page) => page.getByRole("heading", { name: "Sign-out Success" }),
};

const { hear } = servePython("identity_provider", "packhouse", SECRET, callback("canaille"), PASSWORD);

/** What a person does at Canaille, which asks for the name and the password on two pages. */
const canaille = {
  name: "canaille",
  label: "Canaille",
  issuer: (await hear()).issuer,
  member: "mary",
  other: "nina",
  third: "olga",
  form: (page) => page.locator("input[name=login], input[name=password]").first(),
  async fill(page, name) {
    const login = page.locator("input[name=login]");
    if (await login.count()) {
      await login.fill(name);
      await page.locator("form button[type=submit]").first().click();
    }
    await page.locator("input[name=password]").fill(PASSWORD);
    await page.locator("form button[type=submit]").first().click();
  },
  consent: (page) => page.locator("button[name=answer][value=accept]"),
  // The ID token says who it is, so it doesn't ask.
  async signOut() {},
  // It takes max_age=0 literally: its answer always comes later than the sign-in, so it asks for the password forever.
  // OpenID Connect Core §3.1.2.1 says that max_age=0 means the same as prompt=login.
  confirms: false,
  signedOut: (page) => page.getByText("You have been disconnected"),
};

const section = ({ name, label, issuer }) => `
[[auth.oidc]]
name = "${name}"
display_name = "${label}"
issuer = "${issuer}"
client_id = "packhouse"
client_secret = "${SECRET}"
scopes = ["openid", "profile", "email", "groups"]
auto_create = true
[auth.oidc.teams]
developers = "acme/Developers"
`;

const settings = { PACKHOUSE_LISTEN: `127.0.0.1:${port}`, PACKHOUSE_PUBLIC_URL: url };
const site = await serve(settings, section(certified) + section(canaille));
site.url = url;
endWith(site);
await people(site, "ada", "bea");
await api(site, "ada", "POST", "/api/v1/orgs", { username: "acme" });
const team = await api(site, "ada", "POST", "/api/v1/orgs/acme/teams", { name: "Developers", permission: "write" });

async function members() {
  const all = await api(site, "ada", "GET", `/api/v1/teams/${team.id}/members`);
  return all.map(({ login }) => login);
}

// --- A person in a browser ---

/** A window that remembers what providers answered. */
async function begin() {
  const browser = await visit(site);
  const answers = [];
  browser.page.on("request", (request) => {
    const asked = new URL(request.url());
    if (asked.origin === url && asked.pathname.endsWith("/callback")) answers.push(asked.searchParams);
  });
  return { ...browser, answers };
}

/** Ends a window. The providers' own pages may lack an icon. */
const end = ({ context, wrong }) => done({ context, wrong: wrong.filter((line) => line.startsWith(url)) });

/** Does what the provider asks for until it sends the person back. Returns whether it asked for a password. */
async function answer(page, provider, name) {
  let wasAsked = false;
  const isBack = () => page.url().startsWith(url);
  for (let step = 0; step < 5 && !isBack(); step++) {
    await provider.form(page).or(provider.consent(page)).first().waitFor();
    if (await provider.form(page).count()) {
      wasAsked = true;
      await provider.fill(page, name);
    } else {
      await provider.consent(page).click();
    }
    await page.waitForLoadState();
  }
  await page.waitForURL((now) => now.origin === url);
  return wasAsked;
}

async function signInWith(page, provider, name) {
  await page.goto("/login?redirect_to=%2Fuser%2Fsettings%2Fsecurity");
  await page.getByRole("link", { name: `Sign in with ${provider.label}` }).click();
  const wasAsked = page.url().startsWith(url) ? false : await answer(page, provider, name);
  await page.waitForURL("**/user/settings/security");
  return wasAsked;
}

const identities = (page) => page.locator("#identities tbody tr");

for (const provider of [certified, canaille]) {
  const { label, member, other, third } = provider;

  test(`${label}: somebody new gets an account, and signs in again until they sign out there too`, async () => {
    const browser = await begin();
    const { page, answers } = browser;
    await page.goto("/login");
    await inspect(page);
    assert.equal(await signInWith(page, provider, member), true);
    assert.match(await page.locator("header details.menu summary").textContent(), new RegExp(member));
    assert.equal(await identities(page).count(), 1);
    await inspect(page);
    // The provider names itself (RFC 9207), which the server demands of those that say so.
    assert.equal(answers.at(-1).get("iss"), provider.issuer);
    assert.ok((await members()).includes(member));

    await signOut(page);
    await page.getByRole("heading", { name: "You are signed out" }).waitFor();
    await inspect(page);
    // The provider still knows them.
    assert.equal(await signInWith(page, provider, member), false);
    assert.equal(await identities(page).count(), 1);
    await signOut(page);
    await page.getByRole("link", { name: `Sign out of ${label}` }).click();
    await provider.signOut(page);
    await provider.signedOut(page).waitFor();
    assert.equal(await signInWith(page, provider, member), true);
    await end(browser);
  });

  if (provider.confirms) test(`${label}: a change is confirmed by signing in there again`, async () => {
    const browser = await begin();
    const { page } = browser;
    await signInWith(page, provider, other);
    await page.goto("/user/settings/tokens/new");
    await page.getByLabel("Name", { exact: true }).fill("ci");
    await inspect(page);
    await page.getByRole("link", { name: `Sign in again with ${label}` }).click();
    assert.equal(await answer(page, provider, other), true, "the provider asks for the password again");
    await page.getByText("You have confirmed that it's you.").waitFor();
    await page.getByLabel("Name", { exact: true }).fill("ci");
    await page.getByRole("button", { name: "Create token" }).click();
    await page.locator("#secret").waitFor();
    await end(browser);
  });

  test(`${label}: an account there is linked to one here, and unlinked`, async () => {
    const browser = await begin();
    const { page } = browser;
    const owner = provider === certified ? "ada" : "bea";
    await signIn(page, owner);
    await page.goto("/user/settings/security");
    await page.getByRole("link", { name: `Link ${label}` }).click();
    await inspect(page);
    await page.getByLabel("Your password").fill(PASSWORD);
    await page.getByRole("button", { name: "Link account" }).click();
    await page.waitForURL((now) => now.origin !== url);
    await answer(page, provider, third);
    await page.getByText(`Linked. From now on, you can sign in with ${label}.`).waitFor();
    assert.equal(await identities(page).count(), 1);

    await signOut(page);
    await signInWith(page, provider, third);
    assert.match(await page.locator("header details.menu summary").textContent(), new RegExp(owner));
    assert.ok(!(await members()).includes(owner), "no group puts them into the team");
    await page.getByRole("link", { name: /Unlink account/ }).click();
    await page.getByLabel("Your password").fill(PASSWORD);
    await page.getByRole("button", { name: "Unlink account" }).click();
    await page.waitForURL("**/user/settings/security");
    assert.equal(await identities(page).count(), 0);
    await end(browser);
  });
}

test("groups are followed at the next sign-in, and a canceled sign-in says so", async () => {
  const browser = await begin();
  const { page } = browser;
  known.grace = person("grace", []);
  await signInWith(page, certified, "grace");
  assert.ok(!(await members()).includes("grace"));
  await signOut(page);
  known.grace = person("grace", ["developers"]);
  await signInWith(page, certified, "grace");
  assert.ok((await members()).includes("grace"));
  await end(browser);

  const stranger = await begin();
  await stranger.page.goto("/login");
  await stranger.page.getByRole("link", { name: "Sign in with Certified" }).click();
  await stranger.page.getByRole("link", { name: "Cancel" }).click();
  await stranger.page.getByText("You canceled the sign-in").waitFor();
  assert.equal(stranger.answers.at(-1).get("error"), "access_denied");
  await inspect(stranger.page);
  await end(stranger);
});

test("an administrator tests both providers", async () => {
  const browser = await visit(site);
  const { page } = browser;
  await signIn(page, "admin");
  for (const { name, label } of [certified, canaille]) {
    await page.goto("/-/admin/sign-in");
    await page.locator(`#provider-${name}`).getByRole("link", { name: "Test provider" }).click();
    await page.getByRole("heading", { name: `Test of ${label}` }).waitFor();
    await page.getByText("the provider names itself in its answers (RFC 9207)").waitFor();
    await inspect(page);
  }
  await done(browser);
});
