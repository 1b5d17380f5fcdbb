// Checks an owner's name while it is typed, and shows the address it will have.

const shape = /^[0-9A-Za-z](?:[-._]?[0-9A-Za-z])*$/;

const judge = (name, root) => {
  if (name === "") return "";
  if (/[^-._0-9A-Za-z]/.test(name)) return "Use only letters, digits, hyphens, periods, and underscores.";
  if (name.length > 40) return `Use at most 40 characters (${name.length - 40} too many).`;
  if (!shape.test(name)) return "Begin and end with a letter or digit, and don't use two of - . _ in a row.";
  return `The address will be ${root}${name}`;
};

for (const input of document.querySelectorAll("[data-owner-name]")) {
  const line = document.getElementById(`${input.id}-live`);
  if (line) input.addEventListener("input", () => { line.textContent = judge(input.value.trim(), input.dataset.ownerName); });
}
