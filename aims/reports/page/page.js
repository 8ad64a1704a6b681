"use strict";
// Sorting, filtering, curves and the details of a cell. Without this script the page shows all tables as they are.
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

  // Training curves: small enough as numbers for thousands of runs.
  const curves = JSON.parse(document.getElementById("curves").textContent);
  const DASHES = ["", "7 4", "2 4"];
  const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [440, 220, 50, 12, 10, 38];

  const svg = (name, attributes, ...children) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, text] of Object.entries(attributes)) element.setAttribute(key, text);
    element.append(...children);
    return element;
  };

  const html = (name, className, ...children) => {
    const element = document.createElement(name);
    element.className = className;
    element.append(...children);
    return element;
  };

  // Round numbers and their texts: steps of 1, 2 or 5 times a power of ten.
  const ticks = (low, high, most, least = 0) => {
    const rough = Math.max((high - low) / most, least, Number.MIN_VALUE);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = Math.max([1, 2, 5, 10].find((times) => times * power >= rough * 0.999) * power, least);
    const first = Math.ceil(low / step - 1e-9);
    const count = Math.max(0, Math.floor(high / step + 1e-9) - first + 1);
    const places = Array.from({ length: count }, (_, place) => Number(((first + place) * step).toPrecision(10)));
    const digits = Math.max(0, ...places.map((number) => (String(number).split(".")[1] || "").length));
    return places.map((number) => [number, String(number).includes("e") ? String(number) : number.toFixed(digits)]);
  };

  const swatch = ({ colour, dash }) => svg("svg", { viewBox: "0 0 26 8", class: "swatch", "aria-hidden": "true" },
    svg("line", { x1: 0, x2: 26, y1: 4, y2: 4, stroke: colour, "stroke-dasharray": dash }));

  // Lines are { label, colour, dash, points }, points [epoch, value, lowest, highest].
  const chart = (title, lines) => {
    const points = lines.flatMap((line) => line.points);
    let [low, high] = [Math.min(...points.map((point) => point[2])), Math.max(...points.map((point) => point[3]))];
    if (low === high) [low, high] = [low - (Math.abs(low) || 1) / 10, high + (Math.abs(high) || 1) / 10];
    let [first, last] = [Math.min(...points.map(([epoch]) => epoch)), Math.max(...points.map(([epoch]) => epoch))];
    const said = `${title} over epochs ${first} to ${last}: ${lines.map(({ label }) => label).join("; ")}`;
    if (first === last) [first, last] = [first - 0.5, last + 0.5];
    const x = (epoch) => (LEFT + (WIDTH - LEFT - RIGHT) * (epoch - first) / (last - first)).toFixed(1);
    const y = (number) => (TOP + (HEIGHT - TOP - BOTTOM) * (high - number) / (high - low)).toFixed(1);
    const drawn = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": said });
    for (const [number, text] of ticks(low, high, 6)) {
      drawn.append(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(number), y2: y(number) }));
      drawn.append(svg("text", { x: LEFT - 6, y: Number(y(number)) + 4, "text-anchor": "end" }, text));
    }
    for (const [epoch, text] of ticks(first, last, 6, 1)) {
      drawn.append(svg("text", { x: x(epoch), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, text));
    }
    drawn.append(svg("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, "epoch"));
    for (const { label, colour, dash, points: own } of lines) {
      const group = svg("g", { stroke: colour, fill: colour }, svg("title", {}, label));
      if (own.some((point) => point[3] > point[2])) {
        const edge = [...own.map((point) => [point[0], point[2]]), ...[...own].reverse().map((point) => [point[0], point[3]])];
        group.append(svg("polygon", { points: edge.map(([epoch, number]) => `${x(epoch)},${y(number)}`).join(" ") }));
      }
      const path = own.map(([epoch, number]) => `${x(epoch)},${y(number)}`).join(" ");
      group.append(svg("polyline", { points: path, "stroke-dasharray": dash }));
      if (own.length < 20) {
        group.append(...own.map(([epoch, number]) => svg("circle", { cx: x(epoch), cy: y(number), r: 2.4 })));
      }
      drawn.append(group);
    }
    return html("figure", "chart", html("figcaption", "", title), drawn);
  };

  // Over the seeds of a result: the mean, and from the lowest to the highest.
  const pooled = (seeds, kind) => {
    const found = new Map();
    for (const run of seeds) {
      const [epochs, numbers] = run[kind] || [[], []];
      epochs.forEach((epoch, place) => found.set(epoch, [...(found.get(epoch) || []), numbers[place]]));
    }
    return [...found].sort(([one], [other]) => one - other).map(([epoch, numbers]) =>
      [epoch, numbers.reduce((sum, number) => sum + number, 0) / numbers.length, Math.min(...numbers), Math.max(...numbers)]);
  };

  // What is to be drawn into an element: rows of a table, or the seeds of one result.
  const draw = (element) => {
    const { key, rows } = element.dataset;
    const named = rows
      ? JSON.parse(rows).map(([label, of]) => [label, Object.values(curves.runs[of])])
      : Object.entries(curves.runs[key]).map(([seed, run]) => [`seed ${seed}`, [run]]);
    const most = curves.colours.length * DASHES.length;
    const lines = named.slice(0, most).map(([label, seeds], place) => ({
      label,
      seeds,
      colour: curves.colours[place % curves.colours.length],
      dash: DASHES[Math.floor(place / curves.colours.length)],
    }));
    const charts = curves.names.map(([, title], kind) => [title, lines
      .map((line) => ({ ...line, points: pooled(line.seeds, kind) }))
      .filter((line) => line.points.length)]);
    element.append(...charts.filter(([, some]) => some.length).map(([title, some]) => chart(title, some)));
    if (lines.length > 1 || rows) {
      element.append(html("ul", "legend", ...lines.map((line) => html("li", "", swatch(line), line.label))));
    }
    if (named.length > most) element.append(html("p", "soft", `the first ${most} of ${named.length} rows of the table`));
  };

  for (const element of all("main .curves")) draw(element);

  // A cell opens its details.
  const dialog = document.getElementById("dialog");
  const [heading, place, body] = ["dialog-heading", "dialog-place", "dialog-body"].map((id) => document.getElementById(id));

  const open = (key) => {
    const details = document.getElementById(key);
    heading.textContent = details.dataset.heading;
    place.textContent = details.dataset.place;
    body.replaceChildren(details.content.cloneNode(true));
    for (const element of all(".curves", body)) draw(element);
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
