// What plots share: SVG elements, ticks, markers, labels that keep apart, and a picture of a plot to save.
const svg = (name, attributes, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, text] of Object.entries(attributes)) element.setAttribute(key, text);
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

// matplotlib's markers, as in the figure of costs; outlines within a circle of radius 1.
const SHAPES = {
  o: "M-.85 0a.85 .85 0 1 1 1.7 0a.85 .85 0 1 1-1.7 0z",
  s: "M-.8-.8h1.6v1.6h-1.6z",
  "^": "M0-1L.95 .75h-1.9z",
  v: "M0 1L.95-.75h-1.9z",
  "<": "M-1 0L.75-.95v1.9z",
  ">": "M1 0L-.75-.95v1.9z",
  D: "M0-1.1L1.1 0L0 1.1L-1.1 0z",
  P: "M-.35-1h.7v.65h.65v.7h-.65v.65h-.7v-.65h-.65v-.7h.65z",
  X: "M-.9-.4L-.4-.9L0-.5L.4-.9L.9-.4L.5 0L.9 .4L.4 .9L0 .5L-.4 .9L-.9 .4L-.5 0z",
};

const marker = (row, x, y, size = 5) => svg("path", {
  class: "marker", d: SHAPES[row.marker], transform: `translate(${x} ${y}) scale(${size})`,
  fill: row.hollow ? "var(--card)" : row.colour, stroke: row.colour, "vector-effect": "non-scaling-stroke",
});

const pen = document.createElement("canvas").getContext("2d");
const widthOf = (text, font) => { pen.font = font; return pen.measureText(text).width; };

// Vertical places as near to the wanted ones as a distance between neighbours allows.
const apart = (wanted, least, low, high) => {
  const order = wanted.map((_, place) => place).sort((a, b) => wanted[a] - wanted[b]);
  const found = [...wanted];
  const gap = Math.min(least, (high - low) / Math.max(1, wanted.length - 1));
  order.forEach((place, k) => { found[place] = Math.max(found[place], k ? found[order[k - 1]] + gap : low); });
  [...order].reverse().forEach((place, k, back) => {
    found[place] = Math.min(found[place], k ? found[back[k - 1]] - gap : high);
  });
  return found;
};

const save = (name, url) => html("a", { href: url, download: name }).click();

// A plot as a PNG on the ground of the page, with a heading.
const savePicture = (name, plot, heading) => {
  const [width, height, top] = [plot.clientWidth, plot.clientHeight, 30];
  const copy = plot.cloneNode(true);
  const pairs = [[plot, copy], ...all("*", plot).map((one, place) => [one, all("*", copy)[place]])];
  for (const [one, other] of pairs) {
    const style = getComputedStyle(one);
    for (const key of ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-weight", "font-family"]) {
      other.style[key] = style.getPropertyValue(key);
    }
  }
  const style = getComputedStyle(document.body);
  const ground = getComputedStyle(plot.closest("section, dialog")).backgroundColor;
  const whole = svg("svg", { xmlns: "http://www.w3.org/2000/svg", width, height: height + top },
    svg("rect", { width: "100%", height: "100%", fill: ground }),
    svg("text", { x: 8, y: 20, "font-size": 14, "font-weight": 600, fill: style.color, "font-family": style.fontFamily }, heading),
    svg("g", { transform: `translate(0 ${top})` }, ...copy.childNodes));
  const picture = new Image();
  picture.addEventListener("load", () => {
    const canvas = html("canvas", { width: 2 * width, height: 2 * (height + top) });
    const drawing = canvas.getContext("2d");
    drawing.scale(2, 2);
    drawing.drawImage(picture, 0, 0);
    save(name, canvas.toDataURL("image/png"));
  });
  picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(whole))}`;
};

