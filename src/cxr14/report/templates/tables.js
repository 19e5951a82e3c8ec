// Sort a table by a click on a column's header: numbers by value, missing values last.
(() => {
  const MISSING = "–";

  function key(cell) {
    const text = cell.firstChild ? cell.firstChild.textContent.trim() : "";
    const number = parseFloat(text.replace(/,/g, "").replace("−", "-").replace(/^\+/, ""));
    return { text, number, missing: text === "" || text === MISSING };
  }

  function compare(a, b, numeric) {
    if (a.missing !== b.missing) return a.missing ? 1 : -1;
    return numeric ? a.number - b.number : a.text.localeCompare(b.text, "en");
  }

  function sort(table, column) {
    const header = table.tHead.rows[0].cells[column];
    const descending = header.getAttribute("aria-sort") === "ascending";
    for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => ({ row, key: key(row.cells[column]) }));
    const known = rows.filter((entry) => !entry.key.missing);
    const numeric = known.every((entry) => !Number.isNaN(entry.key.number));
    const sign = descending ? -1 : 1;
    rows.sort((a, b) => (a.key.missing || b.key.missing ? 1 : sign) * compare(a.key, b.key, numeric));
    body.append(...rows.map((entry) => entry.row));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((cell, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...cell.childNodes);
      button.addEventListener("click", () => sort(table, column));
      cell.append(button);
    });
  }
})();
