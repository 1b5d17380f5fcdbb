// Takes screenshots of the main pages, light and dark, for the manual and the README, on a server with plausible packages.
// Usage: script/screenshots [NAME …]

import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { writeFileSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { api, drop, launch, people, PHONE, publish, serve, visitAs } from "./support.mjs";

const FOLDER = fileURLToPath(new URL("../../docs/screenshots/", import.meta.url));
const SITE = "https://packages.northwind.example";
const site = await serve({ PACKHOUSE_PUBLIC_URL: SITE });

// --- Users and packages ---

const PEOPLE = { mira: "Mira Okafor", jonas: "Jonas Lindqvist", priya: "Priya Raman", tomas: "Tomás Herrera" };
await people(site, ...Object.keys(PEOPLE));
for (const [name, full_name] of Object.entries(PEOPLE)) {
  await api(site, "admin", "PATCH", `/api/v1/admin/users/${name}`, { full_name });
}
for (const [username, full_name, description, visibility] of [
  ["northwind", "Northwind Robotics", "Firmware, tools and models of the warehouse fleet.", "public"],
  ["harbor-lab", "Harbor Lab", "Datasets and experiments. What works moves to Northwind.", "limited"],
]) {
  await api(site, "mira", "POST", "/api/v1/orgs", {
    username, full_name, description, visibility, website: "https://northwind.example", location: "Rotterdam",
  });
}
for (const [name, permission, description, members] of [
  ["Release", "write", "Publishes what customers get", ["jonas", "priya"]],
  ["Field support", "read", "Fetches firmware for repairs", ["tomas"]],
]) {
  const team = await api(site, "mira", "POST", "/api/v1/orgs/northwind/teams", { name, permission, description });
  for (const member of members) await api(site, "mira", "PUT", `/api/v1/teams/${team.id}/members/${member}`);
}

const README = (version) => `# Gateway firmware ${version}

Runs on the GW-200 and GW-210. Update from 2.3 or later.

## What is new

- Mesh joins in under two seconds after a power cut.
- The status page shows the signal of each neighbor.
- Fixed: logs filled the flash when the uplink was down for days.

## Install

\`\`\`sh
gwctl update gateway-${version}-arm64.img
\`\`\`
`;
const [KB, MB] = [1 << 10, 1 << 20];
const put = async (who, path, size) => publish(site, who, path, typeof size === "string" ? size : randomBytes(size));
await put("mira", "harbor-lab/pallet-images/3/pallets-train.tar", 9 * MB);
await put("mira", "harbor-lab/pallet-images/3/pallets-test.tar", 2 * MB);
await put("mira", "mira/bench-scripts/0.4/bench.sh", 6 * KB);
await put("tomas", "tomas/floor-plans/2026-09/rotterdam-hall-3.svg", 812 * KB);
for (const version of ["0.9.2", "1.0.0", "1.1.0"]) {
  for (const [target, size] of [["linux-amd64.tar.gz", 3.4], ["darwin-arm64.tar.gz", 3.1], ["windows-amd64.zip", 3.6]]) {
    await put("priya", `northwind/gwctl/${version}/gwctl-${version}-${target}`, Math.round(size * MB));
  }
}
await put("priya", "northwind/picker-model/2026.11/picker-int8.onnx", 11 * MB);
await put("priya", "northwind/picker-model/2026.11/labels.txt", 2 * KB);
await put("priya", "northwind/kiosk-image/5.0.2/kiosk-5.0.2-amd64.iso.zst", 14 * MB);
// Unchanged files are stored once.
let same;
for (const [version, size] of [["2.3.0", 7.2], ["2.3.1", 7.2], ["2.4.0", 7.9], ["2.4.1", 8.1]]) {
  const at = `northwind/gateway-firmware/${version}`;
  await put("jonas", `${at}/gateway-${version}-arm64.img`, Math.round(size * MB));
  if (version !== "2.3.1") same = randomBytes(Math.round(size * 0.87 * MB));
  await publish(site, "jonas", `${at}/gateway-${version}-armv7.img`, same);
  await put("jonas", `${at}/gateway-${version}.sbom.json`, 214 * KB);
  await put("jonas", `${at}/README.md`, README(version));
}

// Downloads, which count if they include the first byte.
for (const [path, count] of [
  ["northwind/generic/gateway-firmware/2.4.1/gateway-2.4.1-arm64.img", 61],
  ["northwind/generic/gateway-firmware/2.4.1/gateway-2.4.1-armv7.img", 23],
  ["northwind/generic/gateway-firmware/2.3.1/gateway-2.3.1-arm64.img", 148],
  ["northwind/generic/gwctl/1.1.0/gwctl-1.1.0-linux-amd64.tar.gz", 87],
  ["northwind/generic/picker-model/2026.11/picker-int8.onnx", 12],
]) {
  for (let at = 0; at < count; at++) {
    const answer = await fetch(`${site.url}/api/packages/${path}`, { headers: { range: "bytes=0-0" } });
    await answer.arrayBuffer();
  }
}
for (const [name, scopes] of [["release pipeline", ["write:package"]], ["mirror in the lab", ["read:package", "public-only"]]]) {
  await api(site, "jonas", "POST", "/api/v1/users/jonas/tokens", { name, scopes });
}

// Give versions and tokens plausible dates.
const url = `postgresql://packhouse@/packhouse?host=${site.dir}/data/postgres/socket&port=5432`;
execFileSync("psql", ["-X", "-q", "-v", "ON_ERROR_STOP=1", url, "-c", `
  WITH aged AS (SELECT id, now() - (SELECT max(id) - v.id FROM versions) * interval '9 days 5 hours' - interval '3 hours' AS at
    FROM versions v)
  UPDATE versions v SET created_at = aged.at FROM aged WHERE aged.id = v.id;
  UPDATE files f SET created_at = v.created_at FROM versions v WHERE v.id = f.version_id;
  UPDATE packages p SET created_at = (SELECT min(created_at) FROM versions v WHERE v.package_id = p.id);
  UPDATE tokens SET created_at = now() - interval '41 days', last_used_at = now() - interval '3 hours'
    WHERE name = 'release pipeline';
  INSERT INTO daily_totals (day, versions, bytes, blobs, blob_bytes)
    SELECT current_date - age, 12 - age / 3, bytes, 30 - age / 2, bytes - (bytes - 60000000) * 0.09
    FROM generate_series(1, 29) age, LATERAL (SELECT (128 - age * 1.4 - (age / 9) * 9) * 1000000 AS bytes) b
    ON CONFLICT DO NOTHING`]);

// --- Screenshots ---

mkdirSync(FOLDER, { recursive: true });
const wanted = process.argv.slice(2);

/** Saves a screenshot as WebP, which needs no tool except the browser. */
async function take(page, name) {
  const session = await page.context().newCDPSession(page);
  const { data } = await session.send("Page.captureScreenshot", { format: "webp", quality: 82 });
  const bytes = Buffer.from(data, "base64");
  writeFileSync(`${FOLDER}${name}.webp`, bytes);
  console.log(`${name}.webp ${Math.round(bytes.length / 1024)} KiB`);
}

/** Takes a page light and dark, after `prepare` has acted on it. */
async function show(name, who, path, prepare = async () => {}, viewport = { width: 1280, height: 800 }) {
  if (wanted.length && !wanted.includes(name)) return;
  const browser = await visitAs(site, who, { viewport });
  await browser.page.goto(path);
  await prepare(browser.page);
  await browser.page.evaluate(() => document.activeElement.blur());
  await browser.page.mouse.move(0, 0);
  for (const [scheme, mark] of [["light", ""], ["dark", "-dark"]]) {
    await browser.page.emulateMedia({ colorScheme: scheme });
    await take(browser.page, name + mark);
  }
  await browser.context.close();
}

const FIRMWARE = "/northwind/-/packages/generic/gateway-firmware";
await show("version", "jonas", `${FIRMWARE}/2.4.1`);
await show("version-phone", "jonas", `${FIRMWARE}/2.4.1`, undefined, PHONE);
await show("explore", "jonas", "/explore/packages");
await show("owner", "jonas", "/northwind");
await show("upload", "jonas", "/northwind/-/upload?package=gateway-firmware&version=2.5.0", async (page) => {
  await drop(page, "#drop", [
    { name: "gateway-2.5.0-arm64.img", content: randomBytes(6 * MB) },
    { name: "gateway-2.5.0-armv7.img", content: randomBytes(5 * MB) },
    { name: "README.md", content: README("2.5.0") },
  ]);
}, { width: 1280, height: 960 });
await show("tokens", "jonas", "/user/settings/tokens");
await show("token", "jonas", "/user/settings/tokens/new");
await show("team", "mira", "/org/northwind/teams/Release");
await show("administration", "admin", "/-/admin");
await (await launch()).close();
await site.stop();
