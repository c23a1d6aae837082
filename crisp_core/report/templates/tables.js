"use strict";
// Adds sorting and filtering to every table. Without it each table reads as it is written.
const words = (cell) => cell.textContent.trim();
const missing = (cell) => ["", "\u2013"].includes(words(cell));

function before(one, other, column) {
  const [a, b] = [one.cells[column], other.cells[column]];
  if (missing(a) || missing(b)) return missing(a) - missing(b) || 0;
  if ("value" in a.dataset && "value" in b.dataset) return a.dataset.value - b.dataset.value;
  return words(a).localeCompare(words(b), "en", { numeric: true });
}

function sorted(rows, column, direction) {
  const turned = direction === "descending" ? -1 : 1;
  return [...rows].sort((one, other) => {
    const gone = missing(one.cells[column]) || missing(other.cells[column]);
    return before(one, other, column) * (gone ? 1 : turned); // what is not defined comes last
  });
}

function makeSortable(table, rows) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Sort by this column";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: null }[head.getAttribute("aria-sort")];
      const direction = next === undefined ? "ascending" : next;
      for (const each of heads) each.removeAttribute("aria-sort");
      if (direction) head.setAttribute("aria-sort", direction);
      table.tBodies[0].append(...(direction ? sorted(rows, column, direction) : rows));
    });
  });
}

function makeFilterable(table, rows) {
  const label = document.createElement("label");
  const field = document.createElement("input");
  const told = document.createElement("output");
  label.className = "filter";
  field.type = "search";
  field.placeholder = "Filter rows";
  field.setAttribute("aria-label", `Filter the rows of: ${table.parentElement.ariaLabel}`);
  label.append(field, told);
  table.parentElement.before(label);
  field.addEventListener("input", () => {
    const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !wanted.every((word) => text.includes(word));
    }
    const shown = rows.filter((row) => !row.hidden).length;
    told.textContent = wanted.length ? `${shown} of ${rows.length} rows` : "";
  });
}

for (const table of document.querySelectorAll("table.sheet")) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length > 1) makeSortable(table, rows);
  if (rows.length > 4) makeFilterable(table, rows);
}
