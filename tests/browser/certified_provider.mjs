// An OpenID Connect provider for the browser tests: oidc-provider, which is certified by the OpenID Foundation. It accepts
// any password, and any name in `people`.

import { webcrypto } from "node:crypto";
import { createServer } from "node:http";
import { after } from "node:test";
import { freePort } from "./support.mjs";

/** Starts the provider; `people` has the claims of each subject, and may change. Returns its issuer. */
export async function serveProvider({ clientId, clientSecret, redirectUri, people }) {
  // Node 18 has it, but not as a global.
  globalThis.crypto ??= webcrypto;
  const { default: Provider } = await import("oidc-provider");
  const port = await freePort();
  const issuer = `http://127.0.0.1:${port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id: clientId, client_secret: clientSecret, redirect_uris: [redirectUri] }],
    claims: { openid: ["sub"], profile: ["name", "preferred_username"], email: ["email", "email_verified"], groups: ["groups"] },
    cookies: { keys: ["the secret of the browser tests"] },
    findAccount: (_, sub) => people[sub] && { accountId: sub, claims: () => ({ sub, ...people[sub] }) },
  });
  provider.on("server_error", (_, error) => console.error(error));
  const server = createServer(provider.callback());
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  after(() => { server.close(); server.closeAllConnections(); });
  return issuer;
}
