// Shows times in the reader's time zone: the text of exact times, and what hovering over the others shows. Without
// this, they are in UTC.

const pad = (number) => String(number).padStart(2, "0");
const zone = new Intl.DateTimeFormat("en", { timeZoneName: "short" });
const zoneOf = (date) => zone.formatToParts(date).find((part) => part.type === "timeZoneName").value;
const dayOf = (date) => `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
const exact = (date) => `${dayOf(date)} ${pad(date.getHours())}:${pad(date.getMinutes())} ${zoneOf(date)}`;

for (const time of document.querySelectorAll("time[datetime]")) {
  const date = new Date(time.dateTime);
  if (Number.isNaN(date.getTime())) continue;
  if (time.title) time.title = exact(date);
  if (time.dataset.local === "") time.textContent = exact(date);
  if (time.dataset.local === "day") time.textContent = dayOf(date);
}
