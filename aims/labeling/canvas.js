// A click is a click on the object, or beside it with the right button, Shift or the switch; a drag is a box.
// Places are sent as shares of the picture, so that the size on the screen does not matter.
const NEAR = 5;
let start = null;

const picture = () => element.querySelector("img");
const band = () => element.querySelector(".band");

function share(event) {
  const area = picture().getBoundingClientRect();
  const inside = (value) => Math.min(Math.max(value, 0), 1 - 1e-9);
  return [inside((event.clientX - area.left) / area.width), inside((event.clientY - area.top) / area.height)];
}

function dragged(event) {
  return Math.hypot(event.clientX - start.x, event.clientY - start.y) > NEAR;
}

element.addEventListener("pointerdown", (event) => {
  if (event.target !== picture() || event.button === 1) return;
  event.preventDefault();
  picture().setPointerCapture(event.pointerId);
  start = { x: event.clientX, y: event.clientY, share: share(event) };
});

element.addEventListener("pointermove", (event) => {
  if (start === null || !dragged(event)) return;
  const [x, y] = share(event);
  Object.assign(band().style, {
    display: "block",
    left: `${Math.min(x, start.share[0]) * 100}%`,
    top: `${Math.min(y, start.share[1]) * 100}%`,
    width: `${Math.abs(x - start.share[0]) * 100}%`,
    height: `${Math.abs(y - start.share[1]) * 100}%`,
  });
});

element.addEventListener("pointerup", (event) => {
  if (start === null) return;
  const [x, y] = share(event);
  if (dragged(event)) {
    trigger("select", { first: start.share, last: [x, y] });
  } else {
    trigger("click", { at: [x, y], beside: event.button === 2 || event.shiftKey });
  }
  band().style.display = "none";
  start = null;
});

element.addEventListener("pointercancel", () => {
  band().style.display = "none";
  start = null;
});

element.addEventListener("contextmenu", (event) => event.preventDefault());

// One look at a time: the wheel turns faster than pictures come.
let looking = false;
let pointer = [0.5, 0.5];

function look(zoom, move, at) {
  if (looking) return;
  looking = true;
  trigger("input", { zoom, move, at });
}

watch("value", () => { looking = false; });

element.addEventListener("wheel", (event) => {
  if (event.target !== picture()) return;
  event.preventDefault();
  look(event.deltaY < 0 ? 1 : -1, [0, 0], share(event));
}, { passive: false });

element.addEventListener("pointermove", (event) => {
  if (event.target === picture()) pointer = share(event);
});

if (props.keys) {
  const buttons = { z: "undo", x: "clear", s: "save", n: "next", p: "previous" };
  const looks = {
    "+": [1, [0, 0]],
    "-": [-1, [0, 0]],
    ArrowLeft: [0, [-0.25, 0]],
    ArrowRight: [0, [0.25, 0]],
    ArrowUp: [0, [0, -0.25]],
    ArrowDown: [0, [0, 0.25]],
  };
  document.addEventListener("keydown", (event) => {
    const writing = event.target.closest("input, textarea, select, [contenteditable=true]");
    if (writing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (buttons[event.key]) document.getElementById(buttons[event.key])?.click();
    if (!looks[event.key]) return;
    event.preventDefault();
    look(...looks[event.key], pointer);
  });
}
