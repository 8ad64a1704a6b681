// The page's script is one function, made of several files. Without it the page shows all tables as they are.
// This file: what the others share, sorting, and filters.
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const board = JSON.parse(document.getElementById("board").textContent);
const sections = all("section[data-place]");
const scoresOf = (section) => section.querySelector("table.scores");
const rowsOf = (section) => [...scoresOf(section).tBodies[0].rows];

const html = (name, attributes, ...children) => {
  const element = document.createElement(name);
  for (const [key, text] of Object.entries(attributes)) element.setAttribute(key, text);
  element.append(...children);
  return element;
};

const button = (text, act, attributes = {}) => {
  const element = html("button", { type: "button", ...attributes }, text);
  element.addEventListener("click", act);
  return element;
};

// Rows that a plot draws at most: of more, none could be told from the others.
const MOST = 24;

const few = (shown, of) => of > shown ? [html("p", { class: "soft" }, `the first ${shown} of ${of} rows of the table as it is sorted and filtered`)] : [];

// Called with a section whose rows, columns or order have changed; other files add to them.
const watchers = [];
const changed = (section) => watchers.forEach((act) => act(section));

// A column head sorts: the highest first, then the lowest, then the report's own order.
const NEXT = { "": "descending", descending: "ascending", ascending: "" };

const value = (row, index) => {
  const cell = row.cells[index];
  const number = cell.dataset.value;
  if (number === undefined) return cell.textContent.trim().toLowerCase();
  return number === "" ? null : Number(number);
};

const compare = (index, direction) => (one, other) => {
  const [a, b] = [value(one, index), value(other, index)];
  // What is not there comes last in either direction.
  if (a === null || b === null) return (a === null) - (b === null);
  const order = typeof a === "string" ? a.localeCompare(b) : a - b;
  return direction === "descending" ? -order : order;
};

const sort = (table, head, direction) => {
  for (const other of all("thead th", table)) other.removeAttribute("aria-sort");
  if (direction) head.setAttribute("aria-sort", direction);
  const rows = [...table.tBodies[0].rows].sort((a, b) => a.dataset.place - b.dataset.place);
  if (direction) rows.sort(compare(head.cellIndex, direction));
  table.tBodies[0].append(...rows);
  table.classList.toggle("sorted", Boolean(direction));
  if (table.matches(".scores")) changed(table.closest("section"));
};

for (const table of all("table.sortable")) {
  [...table.tBodies[0].rows].forEach((row, place) => { row.dataset.place = place; });
  for (const head of all("thead th", table)) {
    const act = () => sort(table, head, NEXT[head.getAttribute("aria-sort") || ""]);
    const sorts = button("", act, { class: "sort" });
    sorts.append(...head.childNodes);
    head.append(sorts);
  }
}

// Filters hide tables, columns and rows.
const form = document.getElementById("filters");

const filter = () => {
  const wanted = Object.fromEntries(new FormData(form));
  const words = wanted.words.toLowerCase().split(/\s+/).filter(Boolean);
  let [rows, ofRows, tables] = [0, 0, 0];
  for (const part of sections) {
    const known = ["protocol", "backbone"].every((name) => !wanted[name] || part.dataset[name] === wanted[name]);
    for (const item of all("[data-modality]", part)) {
      item.hidden = Boolean(wanted.modality) && item.dataset.modality !== wanted.modality;
      if (wanted.modality && !item.hidden && item.matches(".block")) item.open = true;
    }
    for (const row of all("tr[data-tuning]", part)) {
      const has = !wanted.modality || JSON.parse(row.dataset.has).includes(wanted.modality);
      const named = words.every((word) => `${row.dataset.name} ${part.dataset.name}`.includes(word));
      row.hidden = !(has && named && (!wanted.tuning || row.dataset.tuning === wanted.tuning));
    }
    const lines = rowsOf(part);
    const shown = known ? lines.filter((row) => !row.hidden).length : 0;
    part.hidden = shown === 0;
    [rows, ofRows, tables] = [rows + shown, ofRows + lines.length, tables + (shown > 0)];
    if (shown) changed(part);
  }
  document.getElementById("nothing").hidden = tables > 0 || !sections.length;
  form.elements.shown.value = `${rows} of ${ofRows} rows in ${tables} of ${sections.length} tables`;
};

