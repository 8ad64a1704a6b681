"use strict";
// Sorting, filtering and the details of a cell. Without this script the page shows all tables as they are.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

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
  };

  for (const table of all("table.sortable")) {
    [...table.tBodies[0].rows].forEach((row, place) => { row.dataset.place = place; });
    for (const head of all("thead th", table)) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, head, NEXT[head.getAttribute("aria-sort") || ""]));
      head.append(button);
    }
  }

  // Filters hide tables, columns and rows.
  const form = document.getElementById("filters");

  const filter = () => {
    const wanted = Object.fromEntries(new FormData(form));
    const words = wanted.method.toLowerCase().split(/\s+/).filter(Boolean);
    let [rows, ofRows, tables, ofTables] = [0, 0, 0, 0];
    for (const part of all("section[data-protocol]")) {
      const known = ["protocol", "backbone"].every((name) => !wanted[name] || part.dataset[name] === wanted[name]);
      for (const item of all("[data-modality]", part)) {
        item.hidden = Boolean(wanted.modality) && item.dataset.modality !== wanted.modality;
      }
      for (const row of all("tr[data-tuning]", part)) {
        const has = !wanted.modality || JSON.parse(row.dataset.has).includes(wanted.modality);
        const named = words.every((word) => row.dataset.name.includes(word));
        row.hidden = !(has && named && (!wanted.tuning || row.dataset.tuning === wanted.tuning));
      }
      const lines = all("table.scores tbody tr", part);
      const shown = known ? lines.filter((row) => !row.hidden).length : 0;
      part.hidden = shown === 0;
      [rows, ofRows] = [rows + shown, ofRows + lines.length];
      [tables, ofTables] = [tables + (shown > 0), ofTables + 1];
    }
    document.getElementById("nothing").hidden = tables > 0 || ofTables === 0;
    form.elements.shown.value = `${rows} of ${ofRows} rows in ${tables} of ${ofTables} tables`;
  };

  if (form) {
    form.hidden = false;
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    // The fields are empty only after the event.
    form.addEventListener("reset", () => setTimeout(filter));
    filter();
  }

  // A cell opens its details.
  const dialog = document.getElementById("dialog");
  const [heading, place, body] = ["dialog-heading", "dialog-place", "dialog-body"].map((id) => document.getElementById(id));

  const open = (key) => {
    const details = document.getElementById(key);
    heading.textContent = details.dataset.heading;
    place.textContent = details.dataset.place;
    body.replaceChildren(details.content.cloneNode(true));
    for (const button of all("[data-details]", body)) {
      button.addEventListener("click", () => { open(button.dataset.details); heading.focus(); });
    }
    if (!dialog.open) dialog.showModal();
    body.scrollTop = 0;
  };

  for (const cell of all("td[data-details]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "open";
    button.setAttribute("aria-haspopup", "dialog");
    button.append(...cell.firstElementChild.childNodes);
    button.addEventListener("click", () => open(cell.dataset.details));
    cell.replaceChildren(button);
  }
  document.getElementById("dialog-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
})();
