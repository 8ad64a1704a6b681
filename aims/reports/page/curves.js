// Training curves: small enough as numbers for thousands of runs.
const curves = JSON.parse(document.getElementById("curves").textContent);
const DASHES = ["", "7 4", "2 3", "9 3 2 3"];
const SMALL = "12px system-ui, sans-serif";

// The lines of a label in so much width, broken between its settings.
const broken = (label, width) => label.split(/(?<=, )/).reduce((lines, part) => {
  const longer = `${lines.at(-1) ?? ""}${part}`;
  return lines.length && widthOf(longer, SMALL) <= width ? [...lines.slice(0, -1), longer] : [...lines, part];
}, []);

// Lines are { label, style, dash, points }, points [epoch, value, lowest, highest].
const chart = (title, lines, width, ends) => {
  const points = lines.flatMap((line) => line.points);
  let [low, high] = [Math.min(...points.map((point) => point[2])), Math.max(...points.map((point) => point[3]))];
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) / 10, high + (Math.abs(high) || 1) / 10];
  let [first, last] = ends;
  const said = `${title} over epochs ${first} to ${last}: ${lines.map(({ label }) => label).join("; ")}`;
  if (first === last) [first, last] = [first - 0.5, last + 0.5];
  const [left, top, bottom] = [46, 10, 38];
  const right = Math.min(width * 0.42, 24 + Math.max(...lines.map(({ label }) => widthOf(label, SMALL))));
  const texts = lines.map(({ label }) => broken(label, right - 15));
  const gap = 14 * Math.max(...texts.map((text) => text.length));
  const height = Math.max(220, gap * lines.length + 60);
  const x = (epoch) => (left + (width - left - right) * (epoch - first) / (last - first)).toFixed(1);
  const y = (number) => (top + (height - top - bottom) * (high - number) / (high - low)).toFixed(1);
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": said });
  for (const [number, text] of ticks(low, high, 6)) {
    drawn.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(number), y2: y(number) }));
    drawn.append(svg("text", { x: left - 6, y: Number(y(number)) + 4, "text-anchor": "end" }, text));
  }
  for (const [epoch, text] of ticks(first, last, 6, 1)) {
    drawn.append(svg("text", { x: x(epoch), y: height - bottom + 16, "text-anchor": "middle" }, text));
  }
  drawn.append(svg("text", { x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }, "epoch"));
  const labels = apart(lines.map((line) => Number(y(line.points.at(-1)[1]))), gap, top + gap / 2 - 5, height - bottom);
  lines.forEach(({ label, style, dash, points: own }, place) => {
    const group = svg("g", { stroke: style.colour, fill: style.colour }, svg("title", {}, label));
    if (own.some((point) => point[3] > point[2])) {
      const edge = [...own.map((point) => [point[0], point[2]]), ...[...own].reverse().map((point) => [point[0], point[3]])];
      group.append(svg("polygon", { points: edge.map(([epoch, number]) => `${x(epoch)},${y(number)}`).join(" ") }));
    }
    const path = own.map(([epoch, number]) => `${x(epoch)},${y(number)}`).join(" ");
    group.append(svg("polyline", { points: path, "stroke-dasharray": dash }));
    // Of long curves some points alone, of each line others: lines that lie on each other are told apart.
    const every = Math.ceil(own.length / 12);
    own.forEach(([epoch, number], k) => {
      if (k % every === place % every || k === own.length - 1) group.append(marker(style, x(epoch), y(number), 4));
    });
    const [end, number] = own.at(-1);
    group.append(svg("line", { class: "leader", x1: Number(x(end)) + 6, y1: y(number), x2: width - right + 12, y2: labels[place] }));
    const ends = texts[place].map((text, k) => svg("tspan", { x: width - right + 15, dy: k && 14 }, text));
    group.append(svg("text", { class: "end", y: labels[place] + 11 - 7 * ends.length }, ...ends));
    drawn.append(group);
  });
  return html("figure", { class: "chart" }, html("figcaption", {}, title), drawn);
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
const drawCurves = (element, table) => {
  const { key, rows } = element.dataset;
  const places = rows ? JSON.parse(rows) : [];
  const shown = table ? new Map(rowsOf(table).map((row, order) => [Number(row.dataset.place), row.hidden ? null : order])) : null;
  const visible = places.filter(([place]) => shown.get(place) !== null).sort(([a], [b]) => shown.get(a) - shown.get(b));
  const of = (place) => board[table.dataset.place].rows[place];
  const [part, row] = element.dataset.shown ? JSON.parse(element.dataset.shown) : [];
  const named = rows
    ? visible.map(([place, name]) => [of(place).label, of(place), Object.values(curves.runs[name])])
    : Object.entries(curves.runs[key]).map(([seed, run]) => [`seed ${seed}`, board[part].rows[row], [run]]);
  // Lines of one method and tuning differ in their dashes.
  const alike = new Map();
  const lines = named.slice(0, MOST).map(([label, style, seeds]) => {
    const kind = `${style.colour}${style.marker}${style.hollow}`;
    alike.set(kind, (alike.get(kind) ?? -1) + 1);
    return { label, style, seeds, dash: DASHES[alike.get(kind) % DASHES.length] };
  });
  const found = curves.names.map(([, title], kind) => [title, lines
    .map((line) => ({ ...line, points: pooled(line.seeds, kind) }))
    .filter((line) => line.points.length)]).filter(([, some]) => some.length);
  const wide = Math.max(300, element.clientWidth);
  const width = found.length > 1 && wide > 700 ? (wide - 24) / 2 : wide;
  // One axis of epochs for all charts, so that they can be read beside each other.
  const epochs = found.flatMap(([, some]) => some.flatMap((line) => line.points.map(([epoch]) => epoch)));
  const ends = [Math.min(...epochs), Math.max(...epochs)];
  element.replaceChildren(...found.map(([title, some]) => chart(title, some, Math.max(300, width), ends)), ...few(MOST, named.length));
};

watchers.push((section) => {
  for (const element of all(".curves", section)) if (element.checkVisibility()) drawCurves(element, section);
});

// A plot has the width of its place, which a closed block does not have.
for (const block of all(".block")) {
  block.addEventListener("toggle", () => { if (block.open) changed(block.closest("section")); });
}

