// Installs what package-lock.json names into node_modules beside it: downloads each package from the npm registry,
// compares it with its digest in the lock file, and unpacks it. `npm ci` would do the same, but Debian's npm needs 349
// packages more.
//
// Usage: node install.mjs [DIRECTORY]
//   DIRECTORY  where package-lock.json is; without one, the directory of this file
//
// The registry and its credential are those that npm would use: npm_config_registry, or `registry` in .npmrc. curl
// downloads, so its variables for proxies and certificates apply.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const directory = resolve(process.argv[2] ?? dirname(fileURLToPath(import.meta.url)));

/** A variable of npm: `npm_config_NAME` in any case. */
function variable(name) {
  const wanted = `npm_config_${name}`;
  return Object.entries(process.env).find(([key, value]) => key.toLowerCase() === wanted && value)?.[1];
}

/** The settings of all .npmrc files: those of this directory before the user's, and those before the machine's. */
function settings() {
  const user = variable("userconfig") ?? join(homedir(), ".npmrc");
  const found = {};
  for (const file of [variable("globalconfig") ?? "/etc/npmrc", user, join(directory, ".npmrc")]) {
    const lines = existsSync(file) ? readFileSync(file, "utf8").split("\n") : [];
    for (const line of lines) {
      const [, key, value] = line.match(/^\s*([^#;=\s][^=]*?)\s*=\s*(.*?)\s*$/) ?? [];
      if (!key) continue;
      const bare = value.replace(/^"(.*)"$/, "$1");
      found[key] = bare.replace(/\$\{(\w+)\}/g, (all, name) => process.env[name] ?? all);
    }
  }
  return found;
}

/** The header with the credential for a registry, if there is one. */
function authorization(registry, configured) {
  const place = registry.replace(/^https?:/, "").replace(/\/$/, "");
  const of = (name) => configured[`${place}/:${name}`] ?? configured[`${place}:${name}`];
  if (of("_authToken")) return `Bearer ${of("_authToken")}`;
  if (of("_auth")) return `Basic ${of("_auth")}`;
  if (!of("username") || !of("_password")) return undefined;
  const password = Buffer.from(of("_password"), "base64").toString();
  return `Basic ${Buffer.from(`${of("username")}:${password}`).toString("base64")}`;
}

const configured = settings();
const registry = (variable("registry") ?? configured.registry ?? "https://registry.npmjs.org").replace(/\/$/, "");
const credential = authorization(registry, configured);
const lock = join(directory, "package-lock.json");
const draft = join(directory, "node_modules.new");
const final = join(directory, "node_modules");

rmSync(draft, { recursive: true, force: true });
mkdirSync(draft);
try {
  for (const [path, { version, integrity }] of Object.entries(JSON.parse(readFileSync(lock, "utf8")).packages)) {
    // The project itself.
    if (path === "") continue;
    const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
    const [algorithm, digest] = (integrity ?? "").split(/-(.*)/);
    assert.equal(algorithm, "sha512", `package-lock.json has no SHA-512 of ${name}`);
    const url = `${registry}/${name}/-/${name.split("/").pop()}-${version}.tgz`;
    const archive = join(draft, "package.tgz");
    // The header goes through standard input: arguments are visible to other users.
    const header = credential ? `header = "Authorization: ${credential}"\n` : "";
    execFileSync("curl", ["-fsSL", "--retry", "3", "-K", "-", "-o", archive, url], { input: header });
    const found = createHash("sha512").update(readFileSync(archive)).digest("base64");
    assert.equal(found, digest, `${url} isn't the file that package-lock.json names`);
    const into = join(draft, path.slice("node_modules/".length));
    mkdirSync(into, { recursive: true });
    execFileSync("tar", ["-xzf", archive, "--strip-components=1", "--no-same-owner", "-C", into]);
    rmSync(archive);
  }
  // script/bootstrap compares the two.
  copyFileSync(lock, join(draft, ".package-lock.json"));
  rmSync(final, { recursive: true, force: true });
  renameSync(draft, final);
} catch (error) {
  rmSync(draft, { recursive: true, force: true });
  console.error(`install.mjs: ${error.message}`);
  process.exit(1);
}
