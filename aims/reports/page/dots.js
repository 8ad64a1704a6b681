// The first screen of a table: all methods of a column as dots with intervals on one axis, the disc as a line.
const FONT = "13px system-ui, sans-serif";

const drawDots = (section) => {
  const table = board[section.dataset.place];
  const figure = section.querySelector(".dots");
  const column = section.dataset.column;
  const shown = rowsOf(section).filter((row) => !row.hidden).map((row) => table.rows[row.dataset.place]);
  const scored = shown.filter((row) => !row.floor && row.scores[column]);
  const rows = scored.slice(0, MOST);
  // Without a row there is no plot; another column may have some.
  figure.hidden = !rows.length && table.columns.length < 2;
  for (const old of all("svg, p", figure)) old.remove();
  if (!rows.length) return;
  const floors = table.rows.filter((row) => row.floor && row.scores[column]);
  const discs = floors.filter((row) => row.disc);
  const values = [...rows, ...discs].flatMap((row) => row.scores[column]);
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low || 1) * 0.06;
  [low, high] = [Math.max(0, low - room), Math.min(100, high + room)];
  // In a narrow window a label stands above its dot.
  const width = Math.max(240, figure.clientWidth);
  const narrow = width < 420;
  const left = narrow ? 8 : Math.min(width * 0.45, 26 + Math.max(...rows.map(({ label }) => widthOf(label, FONT))));
  const [right, top, step] = [narrow ? 8 : 52, floors.length > 1 ? 40 : 24, narrow ? 36 : 25];
  const bottom = top + step * rows.length;
  const x = (number) => left + (width - left - right) * (number - low) / (high - low);
  const drawn = svg("svg", { width, height: bottom + 40, role: "img",
    "aria-label": `mIoU in percent: ${rows.map((row) => `${row.label} ${row.scores[column][0]}`).join("; ")}` });
  for (const [number, text] of ticks(low, high, width / 90)) {
    drawn.append(svg("line", { class: "grid", x1: x(number), x2: x(number), y1: top, y2: bottom }));
    drawn.append(svg("text", { x: x(number), y: bottom + 16, "text-anchor": "middle" }, text));
  }
  drawn.append(svg("text", { x: (left + width - right) / 2, y: bottom + 33, "text-anchor": "middle" }, "mIoU, %"));
  // The names of floors stand in lines of their own, that of the disc next to the plot.
  for (const row of floors) {
    const [number] = row.scores[column];
    const inside = number >= low && number <= high;
    const at = Math.min(Math.max(x(number), left), width - right);
    const end = at > width - right - 80 ? "end" : at < left + 60 ? "start" : "middle";
    const text = inside ? `${row.label} ${number.toFixed(1)}`
      : number > high ? `${row.label} ${number.toFixed(1)} →` : `← ${row.label} ${number.toFixed(1)}`;
    const line = { class: row.disc ? "floor-line" : "floor-line faint", x1: at, x2: at, y1: row.disc ? top - 6 : top - 22, y2: bottom };
    if (inside) drawn.append(svg("line", line));
    drawn.append(svg("text", { class: row.disc ? "" : "faint", x: at, y: row.disc ? top - 10 : top - 26, "text-anchor": end }, text));
  }
  rows.forEach((row, place) => {
    const [number, from, to] = row.scores[column];
    const y = top + step * (place + (narrow ? 0.72 : 0.5));
    const words = `${row.label}: ${number.toFixed(2)}${from === undefined ? "" : ` [${from.toFixed(2)}, ${to.toFixed(2)}]`}`;
    drawn.append(svg("g", {}, svg("title", {}, words),
      svg("text", { class: "name", x: narrow ? left : left - 14, y: y + (narrow ? -11 : 4.5), "text-anchor": narrow ? "start" : "end" }, row.label),
      svg("text", { class: "name number", x: width - 4, y: y + (narrow ? -11 : 4.5), "text-anchor": "end" }, number.toFixed(2)),
      ...from === undefined ? [] : [svg("line", { class: "reach", stroke: row.colour, x1: x(from), x2: x(to), y1: y, y2: y })],
      marker(row, x(number), y, 5.5)));
  });
  figure.append(drawn, ...few(MOST, scored.length));
};

const showColumn = (section, column) => {
  const table = board[section.dataset.place];
  section.dataset.column = column;
  for (const tab of all(".tabs button", section)) tab.setAttribute("aria-pressed", tab.dataset.column === column);
  const [text, basis] = table.findings[column] || ["", ""];
  const said = section.querySelector(".finding");
  if (said) [said.textContent, section.querySelector(".basis").textContent] = [text, basis];
  changed(section);
};

for (const section of sections) {
  const table = board[section.dataset.place];
  section.dataset.column = table.main;
  if (table.columns.length < 2) continue;
  const tabs = html("div", { class: "tabs", role: "group", "aria-label": "Column of the plot" },
    ...table.columns.map(([key, name]) => button(name, () => { showColumn(section, key); remember(); }, { "data-column": key, "aria-pressed": key === table.main })));
  section.querySelector(".dots").prepend(tabs);
}
watchers.push(drawDots);

