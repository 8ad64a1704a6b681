// A cell opens its details.
const dialog = document.getElementById("dialog");
const [heading, where, body] = ["dialog-heading", "dialog-place", "dialog-body"].map((id) => document.getElementById(id));

const openDialog = (title, place, content) => {
  heading.textContent = title;
  where.textContent = place;
  body.replaceChildren(...content);
  if (!dialog.open) dialog.showModal();
  body.scrollTop = 0;
};

const open = (key) => {
  const details = document.getElementById(key);
  openDialog(details.dataset.heading, details.dataset.place, [details.content.cloneNode(true)]);
  for (const element of all(".own", body)) {
    const [place, row, modality] = JSON.parse(element.dataset.shown);
    const gallery = all(".gallery", sections[place]).find((one) => one.dataset.of === modality);
    if (gallery) element.replaceWith(sideBySide(gallery, [row]));
  }
  for (const element of all(".curves", body)) drawCurves(element, null);
  for (const other of all("[data-details]", body)) {
    other.addEventListener("click", () => { open(other.dataset.details); heading.focus(); });
  }
};

for (const cell of all("td[data-details]")) {
  const opens = button("", () => open(cell.dataset.details), { class: "open", "aria-haspopup": "dialog" });
  opens.append(...cell.firstElementChild.childNodes);
  cell.replaceChildren(opens);
}
document.getElementById("dialog-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

