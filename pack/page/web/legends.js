// The legend of each layer: words and scales.

import { chosenMasks } from "./layers.js";
import { drawDepthScale, drawNormalBall } from "./readout.js";
import { shown, state } from "./session.js";
import { byId, put } from "./text.js";

export function showLegends() {
  for (const box of document.querySelectorAll("[data-legend]"))
    box.hidden = !box.dataset.legend.split(" ").includes(state.layer);
  if (state.layer === "depth") drawDepthScale(byId("depth-scale"), shown.current, state, shown.look);
  if (state.layer === "normal") {
    drawNormalBall(byId("normal-ball"));
    put("normal-source", shown.current.normal ? "as rendered" : "from the depth of neighbouring pixels");
  }
  if (state.layer === "mask") describeMask();
  if (state.layer === "network") describeNetwork();
}

function describeMask() {
  const { masks, grid } = shown.current;
  byId("ratio").max = masks.ratios.length - 1;
  byId("seed").max = masks.seeds.length - 1;
  byId("ratio").value = state.mask.ratio;
  byId("seed").value = state.mask.seed;
  byId("ratio").setAttribute("aria-valuetext", masks.ratios[state.mask.ratio]);
  put("ratio-value", masks.ratios[state.mask.ratio].toFixed(2).replace(/0$/, ""));
  put("seed-value", String(masks.seeds[state.mask.seed]));
  put("mask-caption", maskSummary(chosenMasks(shown.current, state), grid));
}

function maskSummary(masks, [rows, columns]) {
  const sum = (array) => array.reduce((total, value) => total + value, 0);
  const [hiddenPatches, hiddenCells] = [sum(masks.points), sum(masks.cells)];
  let shared = 0;
  masks.points.forEach((masked, g) => {
    const [row, column] = shown.current.cellOf(shown.current.pixels[2 * g], shown.current.pixels[2 * g + 1]);
    if (masked && !masks.cells[row * columns + column]) shared += 1;
  });
  return (
    `${hiddenPatches} of ${masks.points.length} patches and ${hiddenCells} of ${rows * columns} image cells are masked. ` +
    `The image shows ${shared} of the ${hiddenPatches} masked patches.`
  );
}

function describeNetwork() {
  const { network, grid } = shown.current;
  byId("network-seed").max = network.seeds.length - 1;
  put("network-seed-value", String(network.seeds[state.networkSeed]));
  put("network-caption",
    `${network.about} ${maskSummary(chosenMasks(shown.current, state), grid)} ` +
    `Chamfer distance ${network.chamfer[state.networkSeed].toPrecision(3)}.`);
}
