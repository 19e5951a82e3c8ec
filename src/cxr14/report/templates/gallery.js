// Redraw heatmaps at another heat threshold. Steps and precision are those of the pipeline
// (cxr14.localization: upsampled, scaled_to_255, hot_regions): float32 after every operation.
(() => {
  const round = Math.fround;
  const HEAT = [255, 59, 31];

  // The values of little-endian float16 in base64.
  function decode(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    return Float32Array.from({ length: bytes.length / 2 }, (_, i) => {
      const bits = view.getUint16(2 * i, true);
      const exponent = (bits >> 10) & 31, fraction = bits & 1023;
      const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024);
      return bits >> 15 ? -size : size;
    });
  }

  // Where each of `size` pixels lies between the cells of an axis.
  function positions(length, size) {
    return Array.from({ length: size }, (_, i) => {
      const at = Math.max((i + 0.5) * (length / size) - 0.5, 0);
      const low = Math.floor(at), share = round(at - low);
      return { low, high: Math.min(low + 1, length - 1), share, rest: round(1 - share) };
    });
  }

  function mix(first, second, position) {
    return round(round(first * position.rest) + round(second * position.share));
  }

  // Upsample a grid (height, width) bilinearly to (size, size): first along rows, then columns.
  function upsample(grid, [height, width], size) {
    const across = positions(width, size), down = positions(height, size);
    const wide = new Float32Array(height * size);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < size; x++)
        wide[y * size + x] = mix(grid[y * width + across[x].low], grid[y * width + across[x].high], across[x]);
    const heat = new Float32Array(size * size);
    for (let y = 0; y < size; y++)
      for (let x = 0; x < size; x++)
        heat[y * size + x] = mix(wide[down[y].low * size + x], wide[down[y].high * size + x], down[y]);
    return heat;
  }

  // Scale a map in place to 0–255, by its own range or by the fixed scale of its finding.
  function scale(heat, scaling) {
    let low = Infinity, high = -Infinity;
    for (const value of heat) { low = Math.min(low, value); high = Math.max(high, value); }
    const span = round(high - low);
    for (let i = 0; i < heat.length; i++) {
      let value = heat[i];
      if (scaling !== "fixed") {
        value = round(value - low);
        if (span > 0) value = round(value / span);
      }
      heat[i] = Math.min(round(value * 255), 255);
    }
    return heat;
  }

  // Tight boxes x, y, width, height of the 8-connected regions above a threshold.
  function regions(heat, size, threshold) {
    const visited = new Uint8Array(heat.length), boxes = [], stack = [];
    for (let start = 0; start < heat.length; start++) {
      if (visited[start] || !(heat[start] > threshold)) continue;
      let left = size, right = 0, top = size, bottom = 0;
      visited[start] = 1;
      stack.push(start);
      while (stack.length) {
        const at = stack.pop(), x = at % size, y = (at - x) / size;
        left = Math.min(left, x); right = Math.max(right, x);
        top = Math.min(top, y); bottom = Math.max(bottom, y);
        for (let v = Math.max(y - 1, 0); v <= Math.min(y + 1, size - 1); v++)
          for (let u = Math.max(x - 1, 0); u <= Math.min(x + 1, size - 1); u++) {
            const next = v * size + u;
            if (!visited[next] && heat[next] > threshold) { visited[next] = 1; stack.push(next); }
          }
      }
      boxes.push([left, top, right - left + 1, bottom - top + 1]);
    }
    return boxes;
  }

  // The highest share of a detected box that lies in a ground-truth box.
  function best(boxes, truths) {
    let highest = 0;
    for (const [x, y, w, h] of boxes)
      for (const [a, b, c, d] of truths) {
        const across = Math.max(0, Math.min(x + w, a + c) - Math.max(x, a));
        const down = Math.max(0, Math.min(y + h, b + d) - Math.max(y, b));
        highest = Math.max(highest, Math.min((across * down) / (w * h), 1));
      }
    return highest;
  }

  function paint(canvas, heat, size, threshold) {
    const context = canvas.getContext("2d"), picture = context.createImageData(size, size);
    for (let i = 0; i < heat.length; i++) {
      picture.data.set(HEAT, 4 * i);
      if (heat[i] > threshold) picture.data[4 * i + 3] = 50 + 0.5 * heat[i];
    }
    context.putImageData(picture, 0, 0);
  }

  function outline(svg, boxes) {
    const group = svg.querySelector(".detections");
    group.replaceChildren(...boxes.map((box) => {
      const rectangle = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      ["x", "y", "width", "height"].forEach((name, i) => rectangle.setAttribute(name, box[i]));
      rectangle.setAttribute("class", "detected");
      return rectangle;
    }));
  }

  function prepare(tile, scaling) {
    if (tile.heat) return;
    tile.side = Number(tile.dataset.size);
    tile.truths = JSON.parse(tile.dataset.truth);
    tile.heat = scale(upsample(decode(tile.dataset.grid), JSON.parse(tile.dataset.shape), tile.side), scaling);
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = tile.side;
    canvas.className = "heat";
    tile.querySelector("img.heat").replaceWith(canvas);
  }

  function redraw(tile, threshold, limit, scaling) {
    prepare(tile, scaling);
    tile.boxes = regions(tile.heat, tile.side, threshold);
    paint(tile.querySelector("canvas"), tile.heat, tile.side, threshold);
    outline(tile.querySelector("svg"), tile.boxes);
    const overlap = best(tile.boxes, tile.truths), outcome = tile.querySelector(".hit, .miss");
    const hit = overlap > limit, digits = overlap.toFixed(2).replace(/^0/, "");
    outcome.className = hit ? "hit" : "miss";
    outcome.textContent = tile.boxes.length ? `${hit ? "hit" : "miss"}, IoBB ${digits}` : "miss, no box";
    describe(tile, outcome.textContent);
    return hit;
  }

  // The alternative text, as cxr14.report.gallery.tile_label writes it.
  function describe(tile, outcome) {
    const view = tile.querySelector(".view"), subject = tile.dataset.subject;
    const boxes = `${tile.truths.length} ground-truth and ${tile.boxes.length} detected boxes`;
    view.setAttribute("aria-label", `${subject}: ${outcome}; ${boxes}`);
  }

  for (const gallery of document.querySelectorAll(".gallery")) {
    const menu = gallery.querySelector(".findings"), slider = gallery.querySelector("input");
    const groups = [...gallery.querySelectorAll(".group")];
    const { scaling } = gallery.dataset, limit = Number(gallery.dataset.hit);
    const update = () => {
      const threshold = Number(slider.value);
      gallery.querySelector("output").textContent = threshold;
      groups.forEach((group, i) => { group.hidden = String(i) !== menu.value; });
      const tiles = [...groups[Number(menu.value)].querySelectorAll(".tile")];
      const hits = tiles.filter((tile) => redraw(tile, threshold, limit, scaling)).length;
      gallery.querySelector(".count").textContent =
        `At heat > ${threshold}: ${hits} of the ${tiles.length} images below are hit.`;
    };
    gallery.classList.add("live");
    menu.addEventListener("change", update);
    slider.addEventListener("input", update);
    if (groups.length) update();
  }
})();
