// Draw the charts, and set their parameters by the menus beside them and by the menu of backbones.
(() => {
  const theme = document.getElementById("theme");
  if (!theme) return;
  const config = JSON.parse(theme.textContent), views = [];
  const options = { config, renderer: "svg", actions: false, mode: "vega-lite" };
  const boxes = [...document.querySelectorAll(".filter input")];

  async function draw(figure) {
    const spec = JSON.parse(figure.querySelector("script").textContent);
    const { view } = await vegaEmbed(figure.querySelector(".vega"), spec, options);
    // The sentence of the chart describes it; thousands of marks without a name would not.
    figure.querySelector(".vega svg").setAttribute("aria-hidden", "true");
    for (const menu of figure.querySelectorAll("select")) {
      const name = menu.dataset.parameter;
      menu.addEventListener("change", () => view.signal(name, menu.value).runAsync());
    }
    const visible = (spec.params ?? []).find((param) => param.name === "visible");
    const backbones = boxes.map((box) => box.value);
    if (visible && visible.value.every((name) => backbones.includes(name))) views.push(view);
  }

  function filter() {
    const names = boxes.filter((box) => box.checked).map((box) => box.value);
    for (const view of views) view.signal("visible", names).runAsync();
  }

  boxes.forEach((box) => box.addEventListener("change", filter));
  const figures = [...document.querySelectorAll("figure.chart")];
  window.charts = (async () => { for (const figure of figures) await draw(figure); })();
})();
