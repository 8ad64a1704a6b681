// What is filtered, sorted, hidden and picked stands in the address, which can be sent to others.
const FIELDS = ["words", "protocol", "modality", "tuning", "backbone"];
const MARK = "#?";
let restoring = true;

const remember = () => {
  if (restoring) return;
  const state = new URLSearchParams();
  for (const name of FIELDS) if (form.elements[name].value) state.set(name, form.elements[name].value);
  for (const section of sections) {
    const [place, heads] = [section.dataset.place, headsOf(section)];
    const sorted = heads.find((head) => head.hasAttribute("aria-sort"));
    const off = heads.filter((head) => head.classList.contains("off")).map((head) => head.dataset.name);
    const rows = picked(section).map((row) => board[place].rows[row].label);
    if (sorted) state.set(`${place}.sort`, `${sorted.getAttribute("aria-sort")} ${sorted.dataset.name || ""}`);
    if (off.length) state.set(`${place}.hide`, JSON.stringify(off));
    if (rows.length) state.set(`${place}.pick`, JSON.stringify(rows));
    if (section.dataset.column !== board[place].main) state.set(`${place}.column`, section.dataset.column);
  }
  history.replaceState(null, "", String(state) ? `${MARK}${state}` : location.href.split("#")[0]);
};

// An address may have been cut or written by hand: what does not fit is passed over.
const list = (text) => {
  try {
    const found = JSON.parse(text);
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
};

const restore = () => {
  const state = new URLSearchParams(location.hash.startsWith(MARK) ? location.hash.slice(MARK.length) : "");
  for (const name of FIELDS) if (state.has(name)) form.elements[name].value = state.get(name);
  // A choice that this page does not have.
  for (const select of all("select", form)) if (select.selectedIndex < 0) select.value = "";
  for (const section of sections) {
    const [place, heads] = [section.dataset.place, headsOf(section)];
    const [direction, ...name] = (state.get(`${place}.sort`) || "").split(" ");
    const head = heads.find((one) => (one.dataset.name || "") === name.join(" "));
    if (head && ["descending", "ascending"].includes(direction)) sort(scoresOf(section), head, direction);
    const off = list(state.get(`${place}.hide`));
    const labels = list(state.get(`${place}.pick`));
    for (const box of all(".tools .menu label", section)) {
      if (off.includes(box.textContent)) box.firstElementChild.click();
    }
    for (const row of rowsOf(section)) {
      if (labels.includes(board[place].rows[row.dataset.place].label)) row.querySelector(".pick").click();
    }
    const column = state.get(`${place}.column`);
    if (board[place].columns.some(([key]) => key === column)) showColumn(section, column);
  }
};

// The contents lead to a table without a trace in the address; an address that is pasted is shown.
for (const link of all("nav a")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    document.querySelector(link.getAttribute("href")).scrollIntoView();
  });
}
addEventListener("hashchange", () => { if (location.hash.startsWith(MARK)) location.reload(); });

if (form) {
  form.hidden = false;
  all("details", form).forEach((more) => { more.open = innerWidth > 640; });
  // The plot follows the filter.
  const follow = () => sections.forEach((section) => {
    const { columns, main } = board[section.dataset.place];
    const wanted = form.elements.modality.value;
    showColumn(section, columns.some(([key]) => key === wanted) ? wanted : main);
  });
  form.elements.modality.addEventListener("input", follow);
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  // The fields are empty only after the event.
  form.addEventListener("reset", () => setTimeout(() => { follow(); filter(); }));
  restore();
  filter();
  restoring = false;
  watchers.push(remember);
  // Plots have the width of the window.
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) sections.filter((section) => !section.hidden).forEach(changed);
    width = innerWidth;
  });
}
