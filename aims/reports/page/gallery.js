// Instances: filters, the order of the table, one picture enlarged, and the next by keys.
const FIRST = 5;
const QUARTERS = [["all", 0, 1.01], ["below 0.25", 0, 0.25], ["0.25 to 0.5", 0.25, 0.5], ["0.5 to 0.75", 0.5, 0.75], ["0.75 and more", 0.75, 1.01]];
const viewer = document.getElementById("viewer");

const tilesOf = (instance) => all(".tile:not([hidden])", instance);

const arrange = (gallery) => {
  const [kind, size, iou, more] = ["class", "size", "iou", "more"].map((name) => gallery.querySelector(`[name=${name}]`));
  const [, low, high] = QUARTERS[iou.value];
  const fits = all(".instance", gallery).filter((instance) => {
    const { class: name, size: share, iou: mean } = instance.dataset;
    return (!kind.value || name === kind.value) && (!size.value || share === size.value) && mean >= low && mean < high;
  });
  // A few at even steps of the order: from those that all methods find hard to those that are easy.
  const some = fits.length <= FIRST || more.checked ? fits
    : Array.from({ length: FIRST }, (_, k) => fits[Math.round(k * (fits.length - 1) / (FIRST - 1))]);
  for (const instance of all(".instance", gallery)) instance.hidden = !some.includes(instance);
  gallery.querySelector("output").value = `${some.length} of ${all(".instance", gallery).length} instances`;
};

const choice = (name, label, options) => html("label", {}, label, " ", html("select", { name },
  ...options.map(([value, text]) => html("option", { value }, text))));

const check = (name, label, checked) => {
  const box = html("input", { type: "checkbox", name });
  box.checked = checked;
  return html("label", { class: "check" }, box, label);
};

for (const gallery of all(".gallery")) {
  const values = (key) => [["", "all"], ...[...new Set(all(".instance", gallery).map((one) => one.dataset[key]))].sort().map((one) => [one, one])];
  const bar = html("form", { class: "filters small" }, choice("class", "class", values("class")), choice("size", "size", values("size")),
    choice("iou", "mean IoU", QUARTERS.map(([text], place) => [place, text])),
    check("overlay", "outlines", true), check("more", "all", false), html("output", {}));
  bar.addEventListener("input", () => {
    gallery.classList.toggle("bare", !bar.elements.overlay.checked);
    arrange(gallery);
  });
  gallery.querySelector("h3").after(bar);
  arrange(gallery);
}

// The same order as the table's; rows that it hides are hidden here, too.
watchers.push((section) => {
  const order = new Map(rowsOf(section).map((row, place) => [row.dataset.place, row.hidden ? null : place]));
  for (const tile of all(".gallery .tile[data-row]", section)) {
    tile.style.order = order.get(tile.dataset.row) ?? 0;
    tile.hidden = order.get(tile.dataset.row) === null;
  }
});

const inOrder = (tiles) => tiles.sort((a, b) => (Number(a.style.order) || -1) - (Number(b.style.order) || -1));

// One tile of an instance, enlarged. Left and right: the other rows; up and down: the other instances.
let seen = null;

const view = (tile) => {
  seen = tile;
  const instance = tile.closest(".instance");
  const picture = copied(tile).querySelector("svg");
  const steps = [["←", "ArrowLeft", "previous row"], ["→", "ArrowRight", "next row"], ["↑", "ArrowUp", "previous instance"], ["↓", "ArrowDown", "next instance"]];
  const focused = viewer.contains(document.activeElement) ? document.activeElement.dataset.step : null;
  viewer.replaceChildren(
    html("div", { class: "bar-top" },
      html("div", {}, html("h2", {}, ...tile.querySelector("span").cloneNode(true).childNodes), html("p", { class: "soft" }, instance.querySelector("figcaption").textContent)),
      html("div", { class: "steps" },
        ...steps.map(([text, key, title]) => button(text, () => step(key), { title, "aria-label": title, "data-step": key })),
        button("outlines", () => step("o"), { title: "Outlines on and off (o)", "data-step": "o" }),
        button("Close", () => viewer.close(), { class: "close", "data-step": "close" }))),
    html("div", { class: "large" }, picture));
  viewer.querySelector(`[data-step="${focused}"]`)?.focus();
  if (!viewer.open) viewer.showModal();
};

const step = (key) => {
  const instance = seen.closest(".instance");
  const tiles = inOrder(tilesOf(instance));
  const instances = all(".instance:not([hidden])", instance.parentElement);
  const move = (list, one, by) => list[(list.indexOf(one) + by + list.length) % list.length];
  if (key === "ArrowLeft") view(move(tiles, seen, -1));
  if (key === "ArrowRight") view(move(tiles, seen, 1));
  if (key === "ArrowUp" || key === "ArrowDown") {
    const other = move(instances, instance, key === "ArrowUp" ? -1 : 1);
    view(tilesOf(other).find((tile) => tile.dataset.row === seen.dataset.row && (tile.dataset.row || tile.dataset.kind === seen.dataset.kind)) || tilesOf(other)[0]);
  }
  if (key === "o") viewer.classList.toggle("bare");
};

viewer.addEventListener("keydown", (event) => {
  if (!/^Arrow|^o$/.test(event.key)) return;
  event.preventDefault();
  step(event.key);
});
viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });

const enlarges = (tile) => {
  const opens = button("", () => view(tile), { class: "enlarge", "aria-label": `enlarge: ${tile.textContent.trim()}` });
  const picture = tile.querySelector("svg");
  picture.replaceWith(opens);
  opens.append(picture);
};
for (const tile of all(".gallery .tile")) enlarges(tile);

// A copy of a tile, which refers to the stored picture and outlines: an id is unique.
const copied = (tile) => {
  const copy = tile.cloneNode(true);
  copy.hidden = false;
  for (const stored of all("image, path[id]", copy)) stored.replaceWith(svg("use", { href: `#${stored.id}` }));
  copy.querySelector("button").addEventListener("click", () => view(tile));
  return copy;
};

// Some rows of a gallery, for a dialog, in the order of the IoU of the first one.
const sideBySide = (gallery, places) => {
  const own = (instance, place) => instance.querySelector(`.tile[data-row="${place}"]`);
  const instances = all(".instance", gallery).filter((instance) => own(instance, places[0]))
    .sort((a, b) => own(a, places[0]).dataset.iou - own(b, places[0]).dataset.iou);
  // Of one row its own pictures alone; of several each beside the truth.
  const shown = places.length === 1
    ? [html("ul", { class: "tiles many" }, ...instances.map((instance) => copied(own(instance, places[0]))))]
    : instances.map((instance) => html("figure", { class: "instance" },
      html("figcaption", {}, instance.querySelector("figcaption").textContent),
      html("ul", { class: "tiles" }, ...[...all(".tile:not([data-row])", instance), ...places.map((place) => own(instance, place)).filter(Boolean)].map(copied))));
  for (const label of all(".many span", html("div", {}, ...shown))) label.replaceChildren("IoU ", label.querySelector("b"));
  return html("div", {}, html("h3", {}, gallery.querySelector("h3").textContent), ...shown,
    html("p", { class: "soft" }, html("small", {}, `In the order of the IoU of ${board[gallery.closest("section").dataset.place].rows[places[0]].label}. ${gallery.querySelector(":scope > p").textContent}`)));
};

