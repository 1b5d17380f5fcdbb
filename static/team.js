// Suggests users while a name is typed, by requesting this page with the typed text.

const input = document.getElementById("user");
const list = document.getElementById("people");
let waiting;

const suggest = async () => {
  const who = input.value.trim();
  if (who === "") return;
  const answer = await fetch(`${location.pathname.replace(/\/members$/, "")}?who=${encodeURIComponent(who)}`, { headers: { accept: "text/html" } });
  if (!answer.ok || input.value.trim() !== who) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const found = page.getElementById("people");
  if (found) list.replaceChildren(...found.children);
};

input?.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => suggest().catch(() => {}), 200);
});
