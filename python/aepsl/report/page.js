"use strict";
// Columns sort by a click; our row stays with the paper's row and the difference below it.
for (const table of document.querySelectorAll("table")) {
  table.querySelectorAll("th").forEach((head, column) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.onclick = () => {
      const up = head.getAttribute("aria-sort") === "descending";
      table.querySelectorAll("th").forEach(each => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const groups = [];
      for (const row of table.tBodies[0].rows)
        row.className && groups.length ? groups[groups.length - 1].push(row) : groups.push([row]);
      const key = group => group[0].cells[column].textContent.replace("−", "-");
      const value = text => text.trim() === "" ? -Infinity : Number(text.replace("k", "e3"));
      groups.sort((a, b) => {
        const [x, y] = [value(key(a)), value(key(b))];
        const order = Number.isNaN(x) || Number.isNaN(y) ? key(a).localeCompare(key(b), "en") : x < y ? -1 : x > y ? 1 : 0;
        return up ? order : -order;
      });
      groups.flat().forEach(row => table.tBodies[0].append(row));
    };
  });
}
// Pictures enlarge.
const dialog = document.createElement("dialog");
document.body.append(dialog);
dialog.onclick = () => dialog.close();
for (const picture of document.querySelectorAll(".strip img")) {
  picture.tabIndex = 0;
  picture.setAttribute("role", "button");
  picture.onclick = () => {
    const [large, text] = [document.createElement("img"), document.createElement("p")];
    large.src = picture.src;
    large.alt = picture.alt;
    text.textContent = picture.alt;
    dialog.replaceChildren(large, text);
    dialog.showModal();
  };
  picture.onkeydown = event => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); picture.onclick(); } };
}
