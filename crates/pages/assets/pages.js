// What pages gain from `neuroflamingo serve`. Without this script they are complete.
"use strict";
(() => {
  const base = document.currentScript.dataset.base;
  const state = document.getElementById("state");
  const banner = document.createElement("p");
  banner.className = "live";
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
        banner.textContent = `${seen.words.split("\n", 1)[0]}. This page is of an earlier run. `;
        const link = document.createElement("a");
        link.href = `${base}status`;
        link.textContent = "How the run stands";
        banner.append(link);
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
})();
