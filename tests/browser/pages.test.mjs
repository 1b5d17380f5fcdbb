// Every page of the route table, with long names, with many entries, and with none: checked by axe and watched for errors.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { api, done, endWith, fail, inspect, people, publish, serve, visit, visitAs } from "./support.mjs";

const site = await serve({ PACKHOUSE_WEBHOOKS_ALLOWED_NETWORKS: "127.0.0.0/8", PACKHOUSE_REGISTRATION_ENABLED: "true" });
endWith(site);

const LONG = "a-name-as-long-as-names-may-be-".repeat(9).slice(0, 254) + "x";
const OWNER = "the-longest-name-that-an-owner-may-have1";
const HURTS = "$(id) & {a}; [b] ~!@#%^ (final).tar.gz";

await people(site, "ada", OWNER, "idle");
for (const [username, visibility] of [["acme", "public"], ["hidden", "private"]]) {
  await api(site, "ada", "POST", "/api/v1/orgs", { username, visibility, full_name: "Acme ".repeat(40).trim() });
}
const team = await api(site, "ada", "POST", "/api/v1/orgs/acme/teams", { name: "Readers", permission: "read" });
await api(site, "ada", "PUT", `/api/v1/teams/${team.id}/members/${OWNER}`);
await publish(site, OWNER, `${OWNER}/${LONG}/${LONG}/${LONG}`, "long");
const README = `# Title

Words with \`code\`, **bold** and a [link](https://example.org), and <script>alert(1)</script>.

| a | b |
|---|--:|
| ${"long ".repeat(40)} | 1 |

\`\`\`sh
curl -fsS -H "Authorization: Bearer $TOKEN" -T ${LONG} https://packages.example.org/api/packages/acme/generic/tool/1.0/
\`\`\`

- [ ] to do
- [x] done
`;
for (const name of ["README.md", HURTS, ...Array.from({ length: 62 }, (_, at) => `part-${at}.bin`)]) {
  await publish(site, "ada", `ada/many/1.0/${name}`, name === "README.md" ? README : name);
}
for (let at = 0; at < 55; at++) await publish(site, "ada", `ada/versions/0.${at}.0/f`, "f");
await publish(site, "ada", ["ada", "odd", "1.0 / rc 1 ü", "f"], "f");
await publish(site, "ada", "acme/tool/1.0/f", "f");
await publish(site, "ada", "hidden/tool/1.0/f", "f");
const [file] = await api(site, "ada", "GET", "/api/v1/packages/ada/generic/many/1.0/files");
await publish(site, OWNER, `${OWNER}/${LONG}/0/${LONG}`, "old");
for (const [who, path] of [["ada", "ada/generic/versions/0.0.0"], [OWNER, `${OWNER}/generic/${LONG}/0`]]) {
  await api(site, who, "DELETE", `/api/v1/packages/${path}`);
}
const [trashed] = await api(site, "ada", "GET", "/api/v1/packages/ada/-/trash");
const token = await api(site, "ada", "POST", "/api/v1/users/ada/tokens", { name: LONG, scopes: ["write:package"] });
await api(site, "ada", "POST", "/api/v1/users/ada/tokens", { name: "all", scopes: ["all"] });

// No server listens at this address, so the delivery fails.
const hooks = {};
for (const of of ["/user", "/orgs/acme"]) {
  const config = { url: "http://127.0.0.1:9/hook", content_type: "json", secret: "a long random text" };
  const hook = await api(site, "ada", "POST", `/api/v1${of}/hooks`, { type: "gitea", active: true, config });
  await api(site, "ada", "POST", `/api/v1${of}/hooks/${hook.id}/tests`);
  const [delivery] = await api(site, "ada", "GET", `/api/v1${of}/hooks/${hook.id}/deliveries`);
  hooks[of] = `${hook.id}/deliveries/${delivery.id}`;
}

await api(site, "ada", "POST", "/api/v1/orgs/acme/robots", { name: "deploy" });
await api(site, "ada", "POST", "/api/v1/orgs/acme/robots/deploy/tokens", { name: "ci", scopes: ["write:package"] });

const publishers = [];
for (const [name, claim] of [["release", "repository_owner_id"], ["kept", "ref_type"]]) {
  publishers.push(await api(site, "ada", "POST", "/api/v1/packages/ada/-/publishers", {
    name, packages: "tool-*", provider: "github", environment: "release",
    conditions: [{ claim: "repository", equals: "ada/tool" }, { claim, equals: "7" }],
  }));
}

const rules = {};
for (const owner of ["ada", "acme"]) {
  const rule = { name: "nightlies", versions: ["*-nightly.*"], delete_older_than_days: 14, keep_last: 5 };
  rules[owner] = (await api(site, "ada", "POST", `/api/v1/packages/${owner}/-/retention`, rule)).id;
}

const long = `/${OWNER}/-/packages/generic/${LONG}`;

/** For each route of the table: the users who visit it, and the addresses they visit. */
const VISITS = {
  "/": { anonymous: ["/"], ada: ["/"], idle: ["/"] },
  // Redirects to the packages.
  "/explore": { anonymous: ["/explore"] },
  "/explore/owners": { anonymous: ["/explore/owners", "/explore/owners?q=nothing-is-called-so"], ada: ["/explore/owners"] },
  "/{owner}/-/access": { ada: ["/ada/-/access"] },
  "/{owner}/-/publishers/{publisher}/edit": { ada: publishers.map(({ id }) => `/ada/-/publishers/${id}/edit`) },
  "/{owner}/-/publishers": { ada: ["/ada/-/publishers", ...["gitlab", "forgejo", "kubernetes", "other"].map((word) => `/ada/-/publishers?provider=${word}`)] },
  "/explore/packages": {
    anonymous: ["/explore/packages", "/explore/packages?q=nothing-is-called-so", "/explore/packages?q=part"],
    ada: ["/explore/packages?page=2"],
  },
  "/docs": { anonymous: ["/docs/"] },
  "/docs/{page:.*}": { ada: ["/docs/getting-started/"] },
  "/login": { anonymous: ["/login"] },
  // In accounts.test.mjs.
  "/login/two-factor": {},
  // In mail.test.mjs, because these pages need a mail server.
  "/login/forgot": {},
  "/login/reset": {},
  "/login/invitation": {},
  "/login/confirm-email": {},
  "/user/settings/notifications": {},
  "/-/admin/mail": {},
  // Without a provider, these pages don't exist; tests/it/oidc.rs has one.
  "/login/oidc/{provider}": {},
  "/login/oidc/{provider}/callback": {},
  "/login/oidc/{provider}/confirm": {},
  "/login/oidc/{provider}/signed-out": {},
  "/user/oauth2/{provider}/callback": {},
  "/user/settings/security/identities/{provider}/link": {},
  "/user/settings/security/identities/{identity}/unlink": {},
  "/-/admin/sign-in": { admin: ["/-/admin/sign-in"] },
  "/-/admin/sign-in/{provider}": {},
  "/register": { anonymous: ["/register"] },
  "/org/create": { ada: ["/org/create"] },
  "/org/{org}/settings": { ada: ["/org/acme/settings"] },
  "/org/{org}/teams": { ada: ["/org/acme/teams"], [OWNER]: ["/org/acme/teams"] },
  "/org/{org}/teams/{team}": { ada: ["/org/acme/teams/Owners", "/org/acme/teams/Readers"], [OWNER]: ["/org/acme/teams/Readers"] },
  "/org/{org}/members": { ada: ["/org/acme/members", "/org/acme/members?q=nobody"] },
  "/org/{org}/robots": { ada: ["/org/acme/robots"] },
  "/org/{org}/robots/{robot}": { ada: ["/org/acme/robots/deploy"] },
  "/org/{org}/members/{user}/remove": { ada: [`/org/acme/members/${OWNER}/remove`, "/org/acme/members/ada/remove"] },
  "/user/settings": { ada: ["/user/settings"], [OWNER]: ["/user/settings"] },
  "/user/settings/email": { ada: ["/user/settings/email"] },
  "/user/settings/rename": { ada: ["/user/settings/rename"] },
  "/user/settings/delete": { ada: ["/user/settings/delete"], idle: ["/user/settings/delete"] },
  "/user/settings/organizations": { ada: ["/user/settings/organizations"], idle: ["/user/settings/organizations"] },
  "/user/settings/password": { ada: ["/user/settings/password"] },
  "/user/settings/security": { ada: ["/user/settings/security"] },
  // tests/browser/passkeys.test.mjs has passkeys.
  "/user/settings/security/enroll-passkeys": {},
  "/user/settings/security/passkeys/new": { ada: ["/user/settings/security/passkeys/new"] },
  "/user/settings/security/passkeys/{passkey}/rename": {},
  "/user/settings/security/passkeys/{passkey}/remove": {},
  "/user/settings/security/enroll": { ada: ["/user/settings/security/enroll"] },
  // In accounts.test.mjs, because these pages need a user with two-factor authentication.
  "/user/settings/security/disable": {},
  "/user/settings/security/recovery-codes": {},
  "/user/settings/tokens": { ada: ["/user/settings/tokens"], idle: ["/user/settings/tokens"] },
  "/user/settings/tokens/new": { ada: ["/user/settings/tokens/new"] },
  "/user/settings/tokens/{token}/revoke": { ada: [`/user/settings/tokens/${token.id}/revoke`] },
  "/user/settings/hooks": { ada: ["/user/settings/hooks"], idle: ["/user/settings/hooks"] },
  "/user/settings/hooks/new": { ada: ["/user/settings/hooks/new"] },
  "/user/settings/hooks/{hook}": { ada: [`/user/settings/hooks/${hooks["/user"].split("/")[0]}`] },
  "/user/settings/hooks/{hook}/deliveries/{delivery}": { ada: [`/user/settings/hooks/${hooks["/user"]}`] },
  "/org/{org}/settings/hooks": { ada: ["/org/acme/settings/hooks"] },
  "/org/{org}/settings/hooks/new": { ada: ["/org/acme/settings/hooks/new"] },
  "/org/{org}/settings/hooks/{hook}": { ada: [`/org/acme/settings/hooks/${hooks["/orgs/acme"].split("/")[0]}`] },
  "/org/{org}/settings/hooks/{hook}/deliveries/{delivery}": { ada: [`/org/acme/settings/hooks/${hooks["/orgs/acme"]}`] },
  "/user/settings/retention": { ada: ["/user/settings/retention"], idle: ["/user/settings/retention"] },
  "/user/settings/retention/new": { ada: ["/user/settings/retention/new"] },
  "/user/settings/retention/preview": { ada: ["/user/settings/retention/preview"] },
  "/user/settings/retention/{rule}": { ada: [`/user/settings/retention/${rules.ada}`] },
  "/org/{org}/settings/retention": { ada: ["/org/acme/settings/retention"] },
  "/org/{org}/settings/retention/new": { ada: ["/org/acme/settings/retention/new"] },
  "/org/{org}/settings/retention/preview": { ada: ["/org/acme/settings/retention/preview"] },
  "/org/{org}/settings/retention/{rule}": { ada: [`/org/acme/settings/retention/${rules.acme}`] },
  "/-/admin": { admin: ["/-/admin"] },
  "/-/admin/users": { admin: ["/-/admin/users", "/-/admin/users?q=nobody-is-called-so"] },
  "/-/admin/users/new": { admin: ["/-/admin/users/new"] },
  "/-/admin/users/{user}": { admin: ["/-/admin/users/ada", `/-/admin/users/${OWNER}`] },
  "/-/admin/users/{user}/edit": { admin: ["/-/admin/users/ada/edit"] },
  "/-/admin/users/{user}/password": { admin: ["/-/admin/users/ada/password"] },
  "/-/admin/users/{user}/role": { admin: ["/-/admin/users/ada/role"] },
  // In accounts.test.mjs, because these pages need a user with two-factor authentication.
  "/-/admin/users/{user}/second-factor": {},
  "/-/admin/users/{user}/rename": { admin: ["/-/admin/users/ada/rename"] },
  "/-/admin/users/{user}/delete": { admin: ["/-/admin/users/ada/delete", "/-/admin/users/idle/delete"] },
  "/-/admin/users/{user}/quota": { admin: ["/-/admin/users/ada/quota"] },
  "/-/admin/orgs": { admin: ["/-/admin/orgs", "/-/admin/orgs?q=nothing-is-called-so"] },
  "/-/admin/orgs/{org}/quota": { admin: ["/-/admin/orgs/acme/quota"] },
  "/-/admin/packages": { admin: ["/-/admin/packages", "/-/admin/packages?sort=size", "/-/admin/packages?q=nothing-is-called-so"] },
  "/-/admin/audit": { admin: ["/-/admin/audit", "/-/admin/audit?actor=nobody-is-called-so", "/-/admin/audit?event=file."] },
  // Not a page, but lines for programs.
  "/-/admin/audit/export": {},
  "/-/admin/system": { admin: ["/-/admin/system"] },
  "/{owner}": { anonymous: ["/ada", "/idle", `/${OWNER}`], ada: ["/ada", "/acme", "/hidden"], idle: ["/idle"] },
  "/{owner}/-/packages": { anonymous: ["/ada/-/packages?q=many&sort=name", "/ada/-/packages?q=nothing-is-called-so"] },
  "/{owner}/-/packages/compare/generic/{name}": {
    anonymous: ["/ada/-/packages/compare/generic/versions?from=0.1.0&to=0.2.0", `/${OWNER}/-/packages/compare/generic/${LONG}`],
  },
  // Redirects to the newest version.
  "/{owner}/-/packages/generic/{name}": { anonymous: ["/ada/-/packages/generic/many"] },
  "/{owner}/-/packages/generic/{name}/versions": {
    anonymous: ["/ada/-/packages/generic/versions/versions", `${long}/versions`],
    ada: ["/ada/-/packages/generic/versions/versions?page=2"],
  },
  "/{owner}/-/packages/generic/{name}/{version}": {
    anonymous: ["/ada/-/packages/generic/many/1.0", "/ada/-/packages/generic/many/1.0?q=no-such", `${long}/${LONG}`],
    ada: ["/ada/-/packages/generic/many/1.0?page=2", "/ada/-/packages/generic/odd/1.0%20%2F%20rc%201%20%C3%BC"],
    [OWNER]: [`${long}/${LONG}`],
  },
  "/{owner}/-/packages/generic/{name}/{version}/delete": { ada: ["/ada/-/packages/generic/many/1.0/delete"], [OWNER]: [`${long}/${LONG}/delete`] },
  "/{owner}/-/packages/generic/{name}/{version}/copy": { ada: ["/ada/-/packages/generic/many/1.0/copy"], [OWNER]: [`${long}/${LONG}/copy`] },
  // Redirects to a file.
  "/{owner}/-/packages/generic/{name}/{version}/download": {},
  // Not a page, but a file.
  "/{owner}/-/packages/generic/{name}/{version}/files/{id}": {},
  "/{owner}/-/packages/generic/{name}/{version}/files/{id}/{file}": {},
  "/{owner}/-/packages/generic/{name}/{version}/archive.tar.gz": {},
  "/{owner}/-/packages/generic/{name}/{version}/archive.zip": {},
  // Not pages, but feeds.
  "/explore/packages.atom": {},
  "/{owner}/-/packages.atom": {},
  "/{owner}/-/packages/generic/{name}/versions.atom": {},
  "/robots.txt": {},
  "/favicon.ico": {},
  "/.well-known/security.txt": {},
  "/swagger.v1.json": {},
  "/{owner}/-/packages/generic/{name}/{version}/files/{id}/delete": { ada: [`/ada/-/packages/generic/many/1.0/files/${file.id}/delete`] },
  "/{owner}/-/packages/settings/generic/{name}": { ada: ["/ada/-/packages/settings/generic/many"], [OWNER]: [`/${OWNER}/-/packages/settings/generic/${LONG}`] },
  "/{owner}/-/packages/settings/generic/{name}/channels": { ada: ["/ada/-/packages/settings/generic/many/channels"], [OWNER]: [`/${OWNER}/-/packages/settings/generic/${LONG}/channels`] },
  "/{owner}/-/trash": { ada: ["/ada/-/trash"], [OWNER]: [`/${OWNER}/-/trash`], idle: ["/idle/-/trash"] },
  "/{owner}/-/trash/{entry}/delete": { ada: [`/ada/-/trash/${trashed.id}/delete`] },
  "/{owner}/-/upload": { ada: ["/ada/-/upload?package=many&version=1.0", "/acme/-/upload"], [OWNER]: [`/${OWNER}/-/upload?package=${LONG}&version=${LONG}`] },
};

/** The pages of the table. */
const source = readFileSync(new URL("../../src/routes/web.rs", import.meta.url), "utf8");
const routes = [...source.matchAll(/\.get\("([^"]+)"/g)].map(([, path]) => path);

test("every page of the route table is visited", () => {
  assert.ok(routes.length > 5);
  fail(routes.filter((route) => !(route in VISITS)).map((route) => `${route}: add to VISITS who visits it, and at which addresses`));
});

for (const who of ["anonymous", "ada", OWNER, "idle", "admin"]) {
  const paths = routes.flatMap((route) => VISITS[route]?.[who] ?? []);
  if (!paths.length) continue;
  test(`${paths.length} pages are accessible to ${who === OWNER ? "a user with a long name" : who}`, async () => {
    const browser = await (who === "anonymous" ? visit(site) : visitAs(site, who));
    const wrong = [];
    for (const path of paths) {
      const answer = await browser.page.goto(path);
      if (answer.status() !== 200) wrong.push(`${path}: ${answer.status()}`);
      await inspect(browser.page).catch((error) => wrong.push(error.message.trim()));
    }
    fail(wrong);
    await done(browser);
  });
}
