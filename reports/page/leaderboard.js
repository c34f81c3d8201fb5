"use strict";
// Sorting, showing what the filter leaves, and the drawer of a line.
(() => {
  const { data, lines, element, table } = Gatebench;
  const body = document.querySelector("#lines tbody");
  const rows = new Map([...body.rows].map((row) => [lines[row.dataset.line], row]));

  Gatebench.whenShown((shown) => {
    body.replaceChildren(...shown.map((line) => rows.get(line)));
    document.getElementById("nothing").hidden = shown.length > 0;
  });

  const valueOf = (line, field) => field.split(".").reduce((value, name) => value[name], line) ?? null;

  // Numbers from the largest first, text from A; the other way the next time. What has no value is always last.
  function sortBy(header) {
    const { field } = header.dataset;
    const text = lines.some((line) => typeof valueOf(line, field) === "string");
    const before = header.getAttribute("aria-sort");
    const ascending = before === "none" ? text : before === "descending";
    const compare = (a, b) => (text ? String(a).localeCompare(b, "en", { numeric: true }) : a - b) * (ascending ? 1 : -1);
    const known = lines.filter((line) => valueOf(line, field) !== null);
    known.sort((a, b) => compare(valueOf(a, field), valueOf(b, field)));
    for (const other of document.querySelectorAll("#lines [aria-sort]")) other.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    Gatebench.sort([...known, ...lines.filter((line) => valueOf(line, field) === null)]);
  }
  for (const header of document.querySelectorAll("#lines [aria-sort]")) {
    header.querySelector("button").addEventListener("click", () => sortBy(header));
  }

  const drawer = document.getElementById("drawer");
  const facts = (pairs) => element("dl", pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => element("div", [element("dt", name), element("dd", String(value))])), { class: "facts" });

  function copyButton(text) {
    const button = element("button", "Copy", { type: "button", class: "copy" });
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(button.previousElementSibling);
        button.textContent = "Selected: press Ctrl-C";
      }
    });
    return button;
  }

  const percent = (value) => (value === null ? null : `${(100 * value).toFixed(2)} %`);
  const told = (value) => (value !== null && typeof value === "object"
    ? Object.entries(value).filter(([, part]) => part !== null).map(([name, part]) => `${Array.isArray(value) ? "" : `${name} `}${told(part)}`).join(", ")
    : String(value));

  function ofJob(job) {
    const { environment, rows: states } = job;
    const notes = [job.reason, ...states.map((state) => state.reason && `${state.backend}: ${state.reason}`),
      job.forced ? "Timed on a busy machine: do not quote these times." : null].filter(Boolean);
    return element("details", [
      element("summary", [`Seed ${job.seed}: ${job.status}`, element("span", job.key, { class: "quiet" })]),
      element("div", [element("code", job.command), copyButton(job.command)], { class: "command" }),
      ...notes.map((note) => element("p", note, { class: "note" })),
      states.length ? table(["back end", "status", "exact", "items checked", "built for"], states.map((state) => [
        state.backend, state.status, state.exact === null ? null : state.exact ? "yes" : "no", state.checked, state.isa])) : "",
      facts([["date", job.date], ["soft accuracy", percent(job.soft)], ["hard accuracy", percent(job.hard)], ["steps", job.steps],
        ["seconds of training", job.seconds], ["commit", job.commit], ["changed sources", job.dirty === null ? "unknown" : job.dirty ? "yes" : "no"],
        ...Object.entries(environment).filter(([, value]) => value !== null).map(([name, value]) => [name.replace("_", " "), told(value)])]),
    ], { class: "job" });
  }

  function open(line) {
    const timings = data.datasets.timings.filter((timing) => timing.line === line.line);
    const settings = Object.entries({ ...data.shared[line.method], ...data.settings[line.line] });
    const jobs = data.datasets.jobs.filter((job) => job.line === line.line).map(ofJob);
    document.getElementById("drawer-title").textContent = line.name;
    drawer.querySelector(".body").replaceChildren(
      element("h3", "To make it again"),
      element("div", [element("code", line.command), copyButton(line.command)], { class: "command" }),
      ...(timings.length ? [element("h3", "Back ends"), element("div", table(["back end", "ns an item", "gates", "compile s", "× nn", "from", "to", "as c"],
        timings.map((row) => [row.backend, row.ns_per_item, row.gates, row.compile_seconds, row.ratio, row.ratio_low, row.ratio_high,
          row.as_c ? "~" : ""])), { class: "scroll", role: "region", "aria-label": "Back ends", tabindex: "0" })] : []),
      element("h3", `Seeds: ${jobs.length}`), ...jobs,
      element("h3", "Configuration"), facts(settings.sort()),
    );
    if (jobs.length === 1) jobs[0].open = true;
    drawer.showModal();
    drawer.querySelector(".body").scrollTop = 0;
  }
  body.addEventListener("click", (event) => {
    if (event.target.closest("button.name")) open(lines[event.target.closest("tr").dataset.line]);
  });
  drawer.querySelector(".close").addEventListener("click", () => drawer.close());
  drawer.addEventListener("click", (event) => {
    if (event.target === drawer) drawer.close();
  });
})();
