// What a layer shows, in words and scales.

function showLegends() {
  for (const box of document.querySelectorAll("[data-legend]"))
    box.hidden = !box.dataset.legend.split(" ").includes(state.layer);
  if (state.layer === "depth") drawDepthScale(byId("depth-scale"), current, state, look);
  if (state.layer === "normal") {
    drawNormalBall(byId("normal-ball"));
    put("normal-source", current.normal ? "as rendered" : "from the depth of neighbouring pixels");
  }
  if (state.layer === "mask") describeMask();
  if (state.layer === "network") describeNetwork();
}

function describeMask() {
  const { masks, grid } = current;
  byId("ratio").max = masks.ratios.length - 1;
  byId("seed").max = masks.seeds.length - 1;
  byId("ratio").value = state.mask.ratio;
  byId("seed").value = state.mask.seed;
  byId("ratio").setAttribute("aria-valuetext", masks.ratios[state.mask.ratio]);
  put("ratio-value", masks.ratios[state.mask.ratio].toFixed(2).replace(/0$/, ""));
  put("seed-value", String(masks.seeds[state.mask.seed]));
  put("mask-said", maskSummary(chosenMasks(current, state), grid));
}

function maskSummary(masks, [rows, columns]) {
  const sum = (array) => array.reduce((total, value) => total + value, 0);
  const [hiddenPatches, hiddenCells] = [sum(masks.points), sum(masks.cells)];
  let shared = 0;
  masks.points.forEach((masked, g) => {
    const [row, column] = current.cellOf(current.pixels[2 * g], current.pixels[2 * g + 1]);
    if (masked && !masks.cells[row * columns + column]) shared += 1;
  });
  return (
    `${hiddenPatches} of ${masks.points.length} patches and ${hiddenCells} of ${rows * columns} image cells are masked. ` +
    `The image shows ${shared} of the ${hiddenPatches} masked patches.`
  );
}

function describeNetwork() {
  const { network, grid } = current;
  byId("network-seed").max = network.seeds.length - 1;
  put("network-seed-value", String(network.seeds[state.networkSeed]));
  put("network-said",
    `${network.about} ${maskSummary(chosenMasks(current, state), grid)} ` +
    `Chamfer distance ${network.chamfer[state.networkSeed].toPrecision(3)}.`);
}
