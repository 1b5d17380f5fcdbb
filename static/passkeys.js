// Creates passkeys and signs in with them (Web Authentication). The server says what to ask the browser, and this sends
// its answer. Forms and buttons for passkeys are hidden until this runs in a browser that knows them.

const decode = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const encode = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

// Where an error is shown: below the button, and read aloud.
const say = (button, text) => {
  const box = button.closest(".row") ?? button;
  let line = box.nextElementSibling;
  if (!line?.matches("[data-passkey-problem]")) {
    line = document.createElement("p");
    line.className = "field-problem";
    line.dataset.passkeyProblem = "";
    line.setAttribute("role", "alert");
    box.after(line);
  }
  line.textContent = text;
};

// What people can do about an error of the browser's API. Its own words say little.
const explain = (error) => {
  if (error.name === "InvalidStateError") return "This device has a passkey for your account already.";
  if (error.name === "NotAllowedError") return "No passkey was used. Try again, or choose another way.";
  if (error.name === "SecurityError") return "Passkeys don't work at this address. Open the site at its own address.";
  return error.passkey ?? "This did not work. Reload the page and try again.";
};

const post = async (url, fields) => {
  const answer = await fetch(url, { method: "POST", body: new URLSearchParams(fields), headers: { accept: "application/json" } });
  const isJson = answer.headers.get("content-type")?.startsWith("application/json");
  const content = isJson ? await answer.json() : {};
  if (!answer.ok) throw Object.assign(new Error(), { passkey: content.message });
  return content;
};

const create = async (options) => {
  options.challenge = decode(options.challenge);
  options.user.id = decode(options.user.id);
  for (const known of options.excludeCredentials ?? []) known.id = decode(known.id);
  const made = await navigator.credentials.create({ publicKey: options });
  const { attestationObject, clientDataJSON } = made.response;
  return {
    id: made.id,
    rawId: encode(made.rawId),
    type: made.type,
    authenticatorAttachment: made.authenticatorAttachment,
    clientExtensionResults: {},
    response: {
      attestationObject: encode(attestationObject),
      clientDataJSON: encode(clientDataJSON),
      transports: made.response.getTransports?.() ?? [],
    },
  };
};

const get = async (options) => {
  options.challenge = decode(options.challenge);
  for (const known of options.allowCredentials ?? []) known.id = decode(known.id);
  const found = await navigator.credentials.get({ publicKey: options });
  const { authenticatorData, clientDataJSON, signature, userHandle } = found.response;
  return {
    id: found.id,
    rawId: encode(found.rawId),
    type: found.type,
    authenticatorAttachment: found.authenticatorAttachment,
    clientExtensionResults: {},
    response: {
      authenticatorData: encode(authenticatorData),
      clientDataJSON: encode(clientDataJSON),
      signature: encode(signature),
      userHandle: userHandle ? encode(userHandle) : null,
    },
  };
};

// One request at a time: a second click must not begin another.
const once = (button, work) => async (event) => {
  event.preventDefault();
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  say(button, "");
  try {
    await work();
  } catch (error) {
    say(button, explain(error));
  } finally {
    button.removeAttribute("aria-busy");
  }
};

const submits = (form, ask) => {
  const button = form.querySelector("button[type=submit]");
  form.addEventListener("submit", once(button, async () => {
    const options = await post(form.dataset.options, new FormData(form));
    form.elements.namedItem("answer").value = JSON.stringify(await ask(options));
    form.submit();
  }));
};

const confirms = (button) => {
  button.addEventListener("click", once(button, async () => {
    const csrf = button.form.elements.namedItem("csrf").value;
    const options = await post(button.dataset.options, { csrf, purpose: "confirm" });
    const answer = JSON.stringify(await get(options));
    const { message } = await post(button.dataset.passkeyConfirm, { csrf, answer });
    const box = button.closest("[data-confirm]");
    const line = document.createElement("p");
    line.className = "hint";
    line.setAttribute("role", "status");
    line.textContent = message;
    const field = document.createElement("input");
    field.type = "hidden";
    field.name = "current_password";
    box.replaceChildren(field, line);
    box.tabIndex = -1;
    box.focus();
  }));
};

if (globalThis.PublicKeyCredential && navigator.credentials) {
  for (const form of document.querySelectorAll("[data-passkey-get]")) submits(form, get);
  for (const form of document.querySelectorAll("[data-passkey-create]")) submits(form, create);
  for (const button of document.querySelectorAll("[data-passkey-confirm]")) confirms(button);
  for (const element of document.querySelectorAll("[data-passkey]")) element.hidden = false;
  for (const element of document.querySelectorAll("[data-passkey-missing]")) element.hidden = true;
}
