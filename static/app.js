// JavaScript for every page: buttons that copy, menus that close, and scrolling with the keyboard.

const said = document.getElementById("said");
let hiding;

// Tells screen readers a text. `shown` shows it to everybody else too, for some seconds.
const say = (text, shown = false) => {
  said.textContent = text;
  if (!shown) return;
  clearTimeout(hiding);
  said.className = "toast";
  hiding = setTimeout(() => { said.className = "visually-hidden"; }, 6000);
};

// The clipboard exists only on pages from https or from this computer. The older command works on all others.
const copy = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const focused = document.activeElement;
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "visually-hidden";
    area.setAttribute("aria-label", "Text to copy");
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    focused?.focus();
    return copied;
  }
};

const onCopy = async (button) => {
  const source = button.dataset.copyFrom ? document.getElementById(button.dataset.copyFrom) : button.parentElement.querySelector("code, pre");
  const label = button.querySelector("[data-label]");
  if (await copy(button.dataset.copy || source?.textContent || "")) {
    say("Copied", !label);
    button.classList.add("copied");
    setTimeout(() => button.classList.remove("copied"), 1500);
    if (!label) return;
    label.textContent = "Copied";
    setTimeout(() => { label.textContent = "Copy"; }, 1500);
    return;
  }
  if (source) getSelection().selectAllChildren(source);
  say("The browser blocked copying. The text is selected: copy it with the keyboard or the menu of the browser.", true);
};

// Closes the open menus that an element is not in.
const closeMenus = (element) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(element)) menu.open = false;
  }
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from]");
  if (button) onCopy(button);
  closeMenus(event.target);
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

document.addEventListener("focusin", (event) => closeMenus(event.target));

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = event.target.closest?.("details.menu[open]");
  closeMenus(null);
  menu?.querySelector("summary").focus();
});

for (const button of document.querySelectorAll("[data-copy], [data-copy-from]")) button.hidden = false;

// Not every browser moves the focus there by itself.
document.getElementById("problems")?.focus();

// Make boxes that scroll sideways focusable, so that people can scroll them with the keyboard.
const reach = new ResizeObserver((boxes) => {
  for (const { target } of boxes) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const box of document.querySelectorAll("pre, .copy > code, .table-box")) reach.observe(box);
