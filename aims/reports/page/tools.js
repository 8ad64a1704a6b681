// Above a table: columns to hide, rows to pick and compare, files to save.
const menu = (name, ...children) => html("details", { class: "menu" }, html("summary", {}, name), html("div", {}, ...children));
const headsOf = (section) => all("thead th", scoresOf(section));

const hideColumn = (section, index, hide) => {
  for (const row of scoresOf(section).rows) row.cells[index].classList.toggle("off", hide);
};

const picked = (section) => rowsOf(section).filter((row) => row.querySelector(".pick").checked).map((row) => Number(row.dataset.place));

// The test of two rows in a column, first minus second; tests are kept once a pair. A single group of images has no interval.
const pairOf = (table, column, first, second) => {
  const found = (table.pairs[column] || []).find(([a, b]) => a === Math.min(first, second) && b === Math.max(first, second));
  if (!found) return null;
  const [, , value, low, high, p, holm, verdict] = found;
  const ends = low === null ? [] : first < second ? [low, high] : [-high, -low];
  return { value: first < second ? value : -value, ends, p, holm, verdict };
};

const signed = (number) => `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(2)}`;

const headToHead = (section) => {
  const table = board[section.dataset.place];
  const [first, second] = picked(section);
  const [one, other] = [table.rows[first], table.rows[second]];
  const lines = table.columns.filter(([column]) => one.scores[column] && other.scores[column]).map(([column, name]) => {
    const test = pairOf(table, column, first, second);
    const texts = test
      ? [`${signed(test.value)}${test.ends.length ? ` [${test.ends.map(signed).join(", ")}]` : ""}`, String(test.p), String(test.holm), test.verdict]
      : ["not tested here (aims compare RUN RUN)", "", "", ""];
    return html("tr", {}, html("th", { scope: "row" }, name),
      ...[one.scores[column][0].toFixed(2), other.scores[column][0].toFixed(2), ...texts].map((text) => html("td", {}, text)));
  });
  const heads = ["", one.label, other.label, "difference [95 %]", "p", "Holm's p", "verdict"];
  const body = [
    html("div", { class: "scroll" }, html("table", { class: "runs" },
      html("thead", {}, html("tr", {}, ...heads.map((text) => html("th", { scope: "col" }, text)))), html("tbody", {}, ...lines))),
    html("p", { class: "soft" }, html("small", {}, "mIoU in percent, difference in percentage points with its paired bootstrap interval. "
      + "p and verdict: the sign-flip test of these two alone; Holm's p: corrected for all pairs of rows of the column, as is due to a pair that was chosen for its scores.")),
    ...all(".block:not([hidden]) .gallery", section).map((gallery) => sideBySide(gallery, [first, second])),
  ];
  openDialog(`${one.label} against ${other.label}`, section.querySelector("h2").textContent, body);
};

const numbersOf = (section) => {
  const table = board[section.dataset.place];
  const heads = headsOf(section).filter((head) => !head.hidden && !head.classList.contains("off"));
  const names = heads.flatMap((head) => {
    const name = head.dataset.name || "method";
    return head.dataset.modality ? [name, `${name} low`, `${name} high`] : [name];
  });
  const lines = rowsOf(section).filter((row) => !row.hidden).map((row) => heads.flatMap((head) => {
    const column = head.dataset.modality;
    if (column) return [0, 1, 2].map((k) => table.rows[row.dataset.place].scores[column]?.[k] ?? "");
    return [head.cellIndex ? row.cells[head.cellIndex].textContent.trim() : table.rows[row.dataset.place].label];
  }));
  return [names, lines];
};

const saveTable = {
  CSV: (section, name) => {
    const [names, lines] = numbersOf(section);
    const field = (text) => /[",\n]/.test(text) ? `"${String(text).replaceAll('"', '""')}"` : text;
    const text = [names, ...lines].map((line) => `${line.map(field).join(",")}\n`).join("");
    save(`${name}.csv`, `data:text/csv;charset=utf-8,${encodeURIComponent(text)}`);
  },
  JSON: (section, name) => {
    const [names, lines] = numbersOf(section);
    const text = JSON.stringify(lines.map((line) => Object.fromEntries(line.map((item, k) => [names[k], item]))), null, 1);
    save(`${name}.json`, `data:application/json;charset=utf-8,${encodeURIComponent(text)}`);
  },
  LaTeX: (section, name) => save(`${name}.tex`, `data:text/plain;charset=utf-8,${encodeURIComponent(board[section.dataset.place].latex)}`),
  PNG: (section, name) => {
    const [, title] = board[section.dataset.place].columns.find(([key]) => key === section.dataset.column);
    savePicture(`${name}.png`, section.querySelector(".dots svg"), `${board[section.dataset.place].dataset}: mIoU, ${title}`);
  },
};
const SAVES = {
  CSV: "The rows and columns that are shown", JSON: "The rows and columns that are shown",
  LaTeX: "The whole table of scores, as in comparison.tex", PNG: "The plot of scores",
};

for (const section of sections) {
  const table = board[section.dataset.place];
  for (const row of rowsOf(section)) {
    const style = table.rows[row.dataset.place];
    const pick = html("input", { type: "checkbox", class: "pick", "aria-label": `pick ${style.label}`, title: "Pick two rows to compare them" });
    const key = svg("svg", { viewBox: "-7 -7 14 14", class: "row-key", "aria-hidden": "true" }, marker(style, 0, 0, 5));
    row.cells[0].prepend(pick, key);
  }
  const compares = button("Compare two rows", () => headToHead(section), { class: "compare", disabled: "" });
  const heads = headsOf(section).slice(1);
  const boxes = heads.map((head) => {
    const box = html("input", { type: "checkbox" });
    box.checked = true;
    box.addEventListener("change", () => { hideColumn(section, head.cellIndex, !box.checked); remember(); });
    return html("label", {}, box, head.dataset.name);
  });
  const name = `aims-${table.dataset.replace(/[^\w-]+/g, "-")}`;
  const saves = Object.entries(SAVES).map(([kind, title]) => button(kind, () => saveTable[kind](section, name), { title }));
  const bar = section.querySelector(".tools");
  bar.append(menu("Columns", ...boxes), menu("Save", ...saves), compares);
  bar.hidden = false;
  scoresOf(section).addEventListener("change", () => {
    const number = picked(section).length;
    compares.disabled = number !== 2;
    compares.textContent = number ? `Compare two rows (${number} picked)` : "Compare two rows";
    for (const row of rowsOf(section)) row.classList.toggle("picked", row.querySelector(".pick").checked);
    remember();
  });
}

// Where no row has a score in the plotted column there is no plot.
watchers.push((section) => {
  const picture = all(".tools .menu button", section).find((one) => one.textContent === "PNG");
  picture.disabled = !section.querySelector(".dots svg");
});

// A menu closes when something else is used.
document.addEventListener("click", ({ target }) => {
  for (const open of all("details.menu[open]")) if (!open.contains(target)) open.open = false;
});
document.addEventListener("keydown", ({ key }) => {
  if (key === "Escape") for (const open of all("details.menu[open]")) open.open = false;
});

