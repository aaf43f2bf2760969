// What pages gain from `neuroflamingo serve`. Without this script they are complete.
"use strict";
(() => {
  const { base, written } = document.currentScript.dataset;

  // ---- how the run stands ----
  const state = document.getElementById("state");
  const banner = element("p", { className: "live" });
  banner.setAttribute("role", "status");

  // A browser opens few connections to one server, so only a page that is seen listens, and only to a run that
  // goes on.
  let events = null;
  function listen() {
    events = new EventSource(`${base}events`);
    events.onmessage = ({ data }) => {
      const seen = JSON.parse(data);
      if (state) {
        state.textContent = seen.words;
        const was = state.dataset.running;
        state.dataset.running = seen.is_running;
        // its pages may be there now
        if (was === "true" && !seen.is_running) location.reload();
      } else if (seen.is_running) {
        // repetitions that are done have pages of the run that goes on
        const isOlder = 1000 * written < Date.parse(seen.since);
        const said = [seen.words.split("\n", 1)[0], ...(isOlder ? ["This page may be of an earlier run"] : [])];
        banner.textContent = `${said.join(". ")}. `;
        banner.append(element("a", { href: `${base}status`, textContent: "How the run stands" }));
        if (!banner.isConnected) document.querySelector("main").prepend(banner);
      } else {
        banner.remove();
        quiet();
      }
    };
  }
  function quiet() {
    events?.close();
    events = null;
  }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) quiet();
    else if (!events) listen();
  });
  if (!document.hidden) listen();

  // ---- helpers ----
  function element(name, properties) {
    return Object.assign(document.createElement(name), properties);
  }

  const asked = new Map();
  function asset(name) {
    if (!asked.has(name)) {
      const address = `${base}assets/${name}`;
      const wanted = name.endsWith(".css")
        ? element("link", { rel: "stylesheet", href: address })
        : element("script", { src: address });
      const done = new Promise((resolve, reject) => {
        wanted.onload = resolve;
        wanted.onerror = () => reject(new Error("The server gives no answer: is it still running?"));
      });
      asked.set(name, done);
      document.head.append(wanted);
    }
    return asked.get(name);
  }

  // A button behind `place` that shows and hides what `draw` appends to a box; it is drawn once, when it is asked for.
  function offer(place, label, draw) {
    const button = element("button", { type: "button", textContent: label });
    const box = element("div", { hidden: true });
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", async () => {
      box.hidden = !box.hidden;
      button.setAttribute("aria-expanded", String(!box.hidden));
      if (box.hidden || box.hasChildNodes()) return;
      try {
        await draw(box);
      } catch (error) {
        box.replaceChildren(element("p", { textContent: error.message, className: "soft" }));
        asked.clear();
      }
    });
    place.append(button, box);
  }

  // ---- curves ----
  const COLOURS = ["#0072b2", "#b8590a", "#00785a"];
  const DASHES = [[], [6, 4], [2, 3]];

  async function chart(box, curves) {
    await Promise.all([asset("uPlot.min.css"), asset("uPlot.iife.min.js")]);
    const line = ({ name }, at) => ({
      label: name,
      stroke: COLOURS[at % COLOURS.length],
      dash: curves.are_points ? undefined : DASHES[at % DASHES.length],
      width: 1.5,
      spanGaps: true,
      paths: curves.are_points ? () => null : undefined,
      points: curves.are_points ? { show: true, size: 9 - 3 * at } : {},
    });
    const inner = element("div", { className: "chart" });
    const help = "Move over the chart for values, drag to zoom in, double-click to see all.";
    box.append(inner, element("p", { className: "soft", textContent: help }));
    const width = () => Math.max(240, inner.clientWidth - 20);
    const plot = new uPlot(
      {
        width: width(),
        height: 280,
        scales: { x: { time: false } },
        axes: [{ label: curves.x }, {}],
        series: [{ label: curves.x }, ...curves.lines.map(line)],
      },
      [curves.at, ...curves.lines.map(({ y }) => y)],
      inner,
    );
    new ResizeObserver(() => {
      if (!box.hidden) plot.setSize({ width: width(), height: 280 });
    }).observe(box);
  }

  for (const figure of document.querySelectorAll("figure[data-curves]")) {
    const curves = JSON.parse(figure.dataset.curves);
    offer(figure, "Zoom into the curves", (box) => chart(box, curves));
  }

  // ---- volumes ----
  async function viewer(box, links, label) {
    const canvas = element("canvas", { tabIndex: 0 });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", label);
    if (!document.createElement("canvas").getContext("webgl2")) {
      throw new Error("This browser has no WebGL2, which the viewer needs. The files open in any viewer of NIfTI.");
    }
    await asset("niivue.umd.js");
    const values = element("p", { className: "soft", textContent: "Click into the volume." });
    values.setAttribute("role", "status");
    // a frame of its own, which NiiVue fills and makes black
    const frame = element("div", { className: "viewer" });
    frame.append(canvas);
    box.append(frame, values);
    const viewer = new niivue.Niivue({
      backColor: [0, 0, 0, 1],
      crosshairWidth: 0.5,
      loadingText: "",
      dragAndDropEnabled: false,
      isResizeCanvas: true,
      onLocationChange: ({ string }) => (values.textContent = string),
    });
    await viewer.attachToCanvas(canvas);
    await viewer.loadVolumes(
      links.map((link) => {
        const over = "overlay" in link.dataset;
        return { url: link.href, colormap: over ? "winter" : "gray", opacity: over ? 0.4 : 1 };
      }),
    );
    // slices alone: a rendered head could show a face
    viewer.opts.multiplanarShowRender = niivue.SHOW_RENDER.NEVER;
    const isSlice = viewer.volumes[0].dims[3] < 2;
    viewer.setSliceType(isSlice ? viewer.sliceTypeAxial : viewer.sliceTypeMultiplanar);
    const overlays = viewer.volumes.slice(1);
    if (overlays.length > 0) {
      const slider = element("input", { type: "range", min: 0, max: 1, step: 0.05, value: 0.4 });
      slider.addEventListener("input", () => {
        overlays.forEach((_, at) => viewer.setOpacity(at + 1, Number(slider.value)));
      });
      const name = element("label", { textContent: "Opacity of the overlay " });
      name.append(slider);
      box.append(name);
    }
  }

  for (const section of document.querySelectorAll("section.volumes")) {
    const links = [...section.querySelectorAll("a")];
    offer(section, "Open the volumes", (box) => viewer(box, links, section.getAttribute("aria-label")));
  }
})();
