// Mail against a real SMTP server (aiosmtpd): its links in the browser, and the pages that exist only with mail.

import assert from "node:assert/strict";
import test from "node:test";
import { servePython } from "./python.mjs";
import { api, done, endWith, freePort, inspect, PASSWORD, people, serve, signIn, visit, visitAs } from "./support.mjs";

const NEW = "another long password 17";

const { child: server, hear } = servePython("smtp");

/** The next mail to an address with this subject. Others come before it, such as those about devices. */
async function mailTo(address, subject) {
  for (;;) {
    const mail = await hear();
    if (mail.to[0] === address && mail.subject === subject) return mail;
  }
}

/** The link with a secret in a mail. */
const linkOf = (mail) => mail.text.match(/http:\S+\?code=\S+/)[0];

const { port: smtp } = await hear();
// The address of the site is in its mails, so its port must be known before.
const port = await freePort();
const site = await serve({
  PACKHOUSE_LISTEN: `127.0.0.1:${port}`,
  PACKHOUSE_PUBLIC_URL: `http://127.0.0.1:${port}`,
  PACKHOUSE_MAIL_SMTP_URL: `smtp://packhouse:p%40ss@127.0.0.1:${smtp}?tls=none`,
  PACKHOUSE_MAIL_FROM: "Packhouse <packhouse@packages.test>",
  PACKHOUSE_JOBS_MAIL_EVERY_SECONDS: "1",
  PACKHOUSE_REGISTRATION_ENABLED: "true",
});
endWith(site);
await people(site, "ada");

async function choosePassword(page) {
  await page.getByLabel("New password", { exact: true }).fill(NEW);
  await page.getByLabel("Confirm new password").fill(NEW);
  await page.getByRole("button", { name: "Set password" }).click();
  await page.locator("header details.menu summary").waitFor();
}

test("a forgotten password is reset with a link, once", async () => {
  const browser = await visit(site);
  const { page } = browser;
  await page.goto("/login");
  await page.getByRole("link", { name: "Forgot your password?" }).click();
  await page.waitForURL("**/login/forgot");
  await inspect(page);
  await page.getByLabel("Username or email address").fill("ada@example.org");
  await page.getByRole("button", { name: "Send link" }).click();
  await page.locator("#sent").waitFor();
  await inspect(page);
  const mail = await mailTo("ada@example.org", "Reset your password");
  assert.deepEqual([mail.to, mail.from, mail.defects], [["ada@example.org"], "Packhouse <packhouse@packages.test>", []]);
  const link = linkOf(mail);
  assert.ok(mail.html.includes(`href="${link}"`), mail.html);
  await page.goto(link);
  await inspect(page);
  await page.getByLabel("New password", { exact: true }).fill("short");
  await page.getByLabel("Confirm new password").fill("short");
  await page.getByRole("button", { name: "Set password" }).click();
  await page.locator("#new_password-problem").waitFor();
  await choosePassword(page);
  await mailTo("ada@example.org", "Your password was changed");
  await page.goto(link);
  await page.getByRole("heading", { name: "Link already used" }).waitFor();
  await inspect(page);
  await done(browser);
});

test("an invited user follows the link and chooses a password", async () => {
  const admin = await visitAs(site, "admin");
  await admin.page.goto("/-/admin/users/new");
  await admin.page.getByLabel("Username").fill("bob");
  await admin.page.getByLabel("Email address").fill("bob@example.net");
  await admin.page.getByLabel("Your password").fill(PASSWORD);
  await inspect(admin.page);
  await admin.page.getByRole("button", { name: "Create user" }).click();
  await admin.page.locator("#invitation").waitFor();
  await inspect(admin.page);
  const guest = await visit(site);
  await guest.page.goto(linkOf(await mailTo("bob@example.net", "You have an account on Packhouse")));
  await inspect(guest.page);
  await choosePassword(guest.page);
  await guest.page.goto("/user/settings/notifications");
  await inspect(guest.page);
  await guest.page.getByLabel("Access token expires").uncheck();
  await guest.page.getByRole("button", { name: "Save notifications" }).click();
  await guest.page.getByText("Notifications saved").waitFor();
  assert.equal(await guest.page.getByLabel("Access token expires").isChecked(), false);
  await done(guest);
  await admin.page.goto("/-/admin/mail");
  await inspect(admin.page);
  await done(admin);
});

test("a new address is confirmed by its link, and the old one is told", async () => {
  const browser = await visit(site);
  const { page } = browser;
  await signIn(page, "bob", NEW);
  await mailTo("bob@example.net", "Sign-in from a new device");
  await page.goto("/user/settings/email");
  await page.getByLabel("New email address").fill("bob@new.example");
  await page.getByLabel("Your password").fill(NEW);
  await page.getByRole("button", { name: "Send link" }).click();
  await page.locator("#pending").waitFor();
  await inspect(page);
  await page.goto(linkOf(await mailTo("bob@new.example", "Confirm your email address")));
  await inspect(page);
  await page.getByRole("button", { name: "Confirm email address" }).click();
  await page.waitForURL("**/user/settings");
  await mailTo("bob@example.net", "Your email address was changed");
  const [email] = await api(site, "admin", "GET", "/api/v1/users/search?q=bob").then(({ data }) => data);
  assert.equal(email.email, "bob@new.example");
  // Mail that a server refuses for good is listed with its reason.
  server.kill("SIGKILL");
  await api(site, "admin", "POST", "/api/v1/users/admin/tokens", { name: "ci", scopes: ["read:package"] });
  const admin = await visitAs(site, "admin");
  await admin.page.goto("/-/admin/mail");
  await admin.page.locator("#mails").waitFor();
  await inspect(admin.page);
  await done(admin);
  await done(browser);
});
