// Servers in Python for the browser tests.

import { execFileSync, spawn } from "node:child_process";
import { copyFileSync, existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after } from "node:test";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));

/** Python with the packages of a list, in a virtual environment that is made again when the list changes. */
function python(name) {
  const target = process.env.CARGO_TARGET_DIR || join(HERE, "../../target");
  const venv = join(target, `browser-${name}`);
  const [list, installed] = [join(HERE, `${name}.txt`), join(venv, "installed.txt")];
  if (!existsSync(installed) || readFileSync(installed, "utf8") !== readFileSync(list, "utf8")) {
    rmSync(venv, { recursive: true, force: true });
    execFileSync("python3", ["-m", "venv", venv]);
    execFileSync(join(venv, "bin/pip"), ["install", "--quiet", "--disable-pip-version-check", "-r", list]);
    copyFileSync(list, installed);
  }
  return join(venv, "bin/python");
}

/**
 * Runs NAME.py with the packages of NAME.txt until the tests of the file end. It prints lines of JSON: `hear` returns the
 * next one.
 */
export function servePython(name, ...args) {
  const child = spawn(python(name), ["-W", "ignore", join(HERE, `${name}.py`), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  process.on("exit", () => child.kill("SIGKILL"));
  after(() => child.kill());
  const [lines, waiting] = [[], []];
  createInterface({ input: child.stdout }).on("line", (line) => {
    const next = waiting.shift();
    if (next) next(JSON.parse(line));
    else lines.push(JSON.parse(line));
  });
  const hear = () => (lines.length ? Promise.resolve(lines.shift()) : new Promise((resolve) => waiting.push(resolve)));
  return { child, hear };
}
