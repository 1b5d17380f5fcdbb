// Says, while an owner's name is typed, whether it can be one and what its address will be.

const shape = /^[0-9A-Za-z](?:[-._]?[0-9A-Za-z])*$/;

const judge = (name, root) => {
  if (name === "") return "";
  if (/[^-._0-9A-Za-z]/.test(name)) return "Letters, digits and - . _ alone.";
  if (name.length > 40) return `${name.length - 40} too many: 40 at most.`;
  if (!shape.test(name)) return "It begins and ends with a letter or digit, without two of - . _ in a row.";
  return `Its address will be ${root}${name}`;
};

for (const input of document.querySelectorAll("[data-owner-name]")) {
  const line = document.getElementById(`${input.id}-live`);
  if (line) input.addEventListener("input", () => { line.textContent = judge(input.value.trim(), input.dataset.ownerName); });
}
