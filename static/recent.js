// Remembers the last searches in this browser only, and offers them on the page that explores packages and in the
// search boxes. Signing out forgets them.

const KEY = "packhouse-searches";
const MOST = 8;
const list = document.getElementById("recent");

// Storage may be turned off, or hold what something else wrote.
const read = () => {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter((text) => typeof text === "string").slice(0, MOST) : [];
  } catch {
    return [];
  }
};
const write = (searches) => {
  try {
    if (searches.length) localStorage.setItem(KEY, JSON.stringify(searches));
    else localStorage.removeItem(KEY);
  } catch {
    // Then nothing is remembered.
  }
};

const offer = () => {
  const choices = document.createElement("datalist");
  choices.id = "searches";
  choices.append(...read().map((text) => new Option(text)));
  document.body.append(choices);
  document.getElementById("top-q")?.setAttribute("list", choices.id);
};

const show = () => {
  const searches = read();
  list.hidden = !searches.length;
  list.replaceChildren("Recent searches: ");
  for (const text of searches) {
    const link = document.createElement("a");
    link.href = `${location.pathname}?q=${encodeURIComponent(text)}`;
    link.textContent = text;
    list.append(link, " · ");
  }
  const forget = document.createElement("button");
  forget.type = "button";
  forget.className = "btn bare slim";
  forget.textContent = "Forget searches";
  forget.addEventListener("click", () => { write([]); show(); });
  list.append(forget);
};

if (list) {
  const q = new URLSearchParams(location.search).get("q")?.trim();
  if (q) write([q, ...read().filter((text) => text !== q)].slice(0, MOST));
  else show();
}
offer();
document.getElementById("sign-out")?.addEventListener("submit", () => write([]));
