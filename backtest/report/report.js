"use strict";

const BASE = {
  font: { family: "inherit", size: 12, color: "#1f2937" },
  margin: { l: 78, r: 56, t: 34, b: 46 },
  paper_bgcolor: "rgba(0,0,0,0)",
  plot_bgcolor: "rgba(0,0,0,0)",
  hovermode: "x unified",
  hoverlabel: { font: { size: 12 } },
  legend: { orientation: "h", x: 0, y: 1, xanchor: "left", yanchor: "bottom" },
  separators: ". ",
  modebar: { bgcolor: "rgba(0,0,0,0)", color: "#9ca3af", activecolor: "#374151" },
};
const AXIS = { gridcolor: "#e5e7eb", zerolinecolor: "#9ca3af", linecolor: "#d1d5db" };
const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };

function thresholds(figure) {
  const shapes = [], annotations = [];
  const scale = figure.layout.yaxis.type === "log" ? Math.log10 : (y) => y;
  for (const [i, line] of (figure.lines || []).entries()) {
    shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: line.y, y1: line.y,
      line: { color: line.color, width: 1.2, dash: "dash" } });
    annotations.push({ xref: "paper", x: 1 - 0.13 * i, bgcolor: "rgba(255,255,255,0.8)", xanchor: "right", y: scale(line.y), yanchor: "bottom",
      text: line.label, showarrow: false, font: { size: 11, color: line.color } });
  }
  return { shapes, annotations };
}

function draw(element, figure) {
  const layout = { ...BASE, ...figure.layout, ...thresholds(figure) };
  layout.xaxis = layout.xaxis || {};
  layout.yaxis = layout.yaxis || {};
  for (const key of Object.keys(layout))
    if (/^[xy]axis\d*$/.test(key)) layout[key] = { ...AXIS, ...layout[key] };
  Plotly.newPlot(element, figure.data, layout, CONFIG);
}

function sortable(table) {
  table.querySelectorAll("th").forEach((head, column) => {
    head.addEventListener("click", () => {
      const rising = head.dataset.order !== "rising";
      table.querySelectorAll("th").forEach((other) => delete other.dataset.order);
      head.dataset.order = rising ? "rising" : "falling";
      const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        const order = x !== "" && y !== "" && !isNaN(x) && !isNaN(y) ? x - y : x.localeCompare(y);
        return rising ? order : -order;
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
    });
  });
}

const figures = JSON.parse(document.getElementById("figures").textContent);
for (const [name, figure] of Object.entries(figures)) draw(document.getElementById(name), figure);
document.querySelectorAll("table.sortable").forEach(sortable);
