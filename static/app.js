// JavaScript for every page: buttons that copy, menus that close, and scrolling with the keyboard.

const say = (text) => {
  const line = document.getElementById("said");
  if (line) line.textContent = text;
};

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from]");
  if (button) {
    const text = button.dataset.copy || document.getElementById(button.dataset.copyFrom)?.textContent || "";
    try {
      await navigator.clipboard.writeText(text);
      say("Copied");
      button.classList.add("copied");
      setTimeout(() => button.classList.remove("copied"), 1500);
      const label = button.querySelector("[data-label]");
      if (label) {
        const before = label.textContent;
        label.textContent = "Copied";
        setTimeout(() => { label.textContent = before; }, 1500);
      }
    } catch {
      say("The browser blocked copying. Select the text and copy it instead.");
    }
  }
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

// The key / leads to the search, as on other sites, unless someone is typing.
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const box = document.querySelector("header input[type=search]") ?? document.querySelector("input[type=search]");
  if (!box) return;
  event.preventDefault();
  box.focus();
  box.select();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = event.target.closest?.("details.menu[open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

for (const button of document.querySelectorAll("[data-copy], [data-copy-from]")) button.hidden = false;

// Make boxes that scroll sideways focusable, so that people can scroll them with the keyboard.
const reach = new ResizeObserver((boxes) => {
  for (const { target } of boxes) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const box of document.querySelectorAll("pre, .copy > code, .table-box")) reach.observe(box);
