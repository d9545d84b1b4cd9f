"use strict";
const errors = JSON.parse(document.getElementById("errors").textContent);
const matrix = document.getElementById("matrix");
const panel = document.getElementById("cell");

function add(parent, kind, text) {
  const node = document.createElement(kind);
  node.textContent = text;
  return parent.appendChild(node);
}

function choose(cell) {
  matrix.querySelectorAll("[aria-selected]").forEach((one) => one.removeAttribute("aria-selected"));
  cell.setAttribute("aria-selected", "true");
  const { row, column, pixels } = cell.dataset;
  panel.replaceChildren();
  const what = cell.classList.contains("right") ? `${row}, predicted right` : `${row}, predicted as ${column}`;
  add(panel, "p", `${what}: ${Number(pixels).toLocaleString("en")} pixels.`);
  const images = errors.cells[cell.dataset.cell] || [];
  if (!images.length) return;
  const list = add(panel, "ol", "");
  for (const [number, count] of images) {
    const item = add(list, "li", "");
    const shown = document.querySelector(`figure[data-image="${number}"]`);
    if (shown) {
      shown.id = `image-${number}`;
      add(item, "a", errors.names[number]).href = `#image-${number}`;
    } else add(item, "span", errors.names[number]);
    add(item, "span", `, ${count.toLocaleString("en")} pixels`).className = "soft";
  }
}

const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
matrix.addEventListener("click", (event) => {
  const cell = event.target.closest("[data-cell]");
  if (cell) choose(cell);
});
matrix.addEventListener("keydown", (event) => {
  const cell = event.target.closest("[data-cell]");
  if (!cell) return;
  if (event.key === "Enter" || event.key === " ") choose(cell);
  else if (event.key in MOVES) {
    const [down, right] = MOVES[event.key];
    const next = matrix.rows[cell.parentNode.rowIndex + down]?.cells[cell.cellIndex + right];
    if (next?.dataset.cell === undefined) return;
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  } else return;
  event.preventDefault();
});
document.querySelectorAll("input[name=by]").forEach((input) =>
  input.addEventListener("change", () => (matrix.dataset.by = input.value)));
document.querySelectorAll(".mix input").forEach((input) =>
  input.addEventListener("input", () =>
    input.closest("figure").style.setProperty("--mix", input.value / 100)));
