"use strict";
// What all sections share: the data, what the filter shows, and elements made of text. A section's script is told of changes by
// Gatebench.whenShown(callback), which is called with the lines that are shown, in the order of the leaderboard.
const Gatebench = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  for (const [name, columns] of Object.entries(data.datasets)) data.datasets[name] = unpacked(columns);
  const form = document.getElementById("filters");
  const lines = data.datasets.lines;
  const words = new Map(lines.map((line) => [
    line, `${line.name} ${line.task} ${line.machine} ${line.status} ${line.backend ?? ""} ${line.key} ${line.commit ?? ""}`.toLowerCase(),
  ]));
  const callbacks = [];
  let order = lines;

  // Rows of what reports.html.packed made columns of.
  function unpacked(columns) {
    const names = Object.keys(columns);
    const values = Object.values(columns).map((column) => (Array.isArray(column) ? column : column.at.map((i) => column.of[i])));
    return Array.from(values[0] ?? [], (_, row) => Object.fromEntries(names.map((name, i) => [name, values[i][row]])));
  }

  function isShown(line) {
    const { task, method, text } = form.elements;
    return (!task.value || line.task === task.value) && (!method.value || line.method === method.value)
      && text.value.toLowerCase().split(/\s+/).every((word) => words.get(line).includes(word));
  }

  function show() {
    const shown = order.filter(isShown);
    document.getElementById("shown").textContent =
      `${shown.length === lines.length ? "" : `${shown.length} of `}${lines.length} line${lines.length === 1 ? "" : "s"}`;
    for (const callback of callbacks) callback(shown);
  }

  function sort(sorted) {
    order = sorted;
    show();
  }

  function element(name, content = "", attributes = {}) {
    const made = document.createElement(name);
    for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
    made.append(...[content].flat());
    return made;
  }

  const number = (value) => (typeof value === "number" ? value.toLocaleString("en", { maximumSignificantDigits: 5 }) : String(value));

  function table(headers, rows) {
    const cell = (value) => element("td", value === null || value === undefined ? "" : number(value),
      typeof value === "number" ? { class: "n" } : {});
    return element("table", [
      element("thead", element("tr", headers.map((header) => element("th", header, { scope: "col" })))),
      element("tbody", rows.map((row) => element("tr", row.map(cell)))),
    ]);
  }

  form.addEventListener("input", show);
  form.addEventListener("reset", () => setTimeout(show));
  form.addEventListener("submit", (event) => event.preventDefault());
  return { data, lines, element, table, sort, show, whenShown: (callback) => callbacks.push(callback) };
})();
document.addEventListener("DOMContentLoaded", () => Gatebench.show());
