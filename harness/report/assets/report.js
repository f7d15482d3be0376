// Filters and their state in the address. Without this script the page shows everything and links still work.
"use strict";
(() => {
  const filters = document.getElementById("filters");
  const boxes = [...filters.querySelectorAll("input[name=verdict]")];
  const group = document.getElementById("group");
  const text = document.getElementById("text");
  const shown = document.getElementById("shown");
  const bodies = [...document.querySelectorAll("#rules tbody")];
  const rules = [...document.querySelectorAll("#rules tr[data-verdict]")];
  const scenarios = [...document.querySelectorAll("details.scenario")];
  const words = new Map([...rules, ...scenarios].map((one) => [one, one.textContent.toLowerCase()]));

  const wanted = () => ({
    verdicts: boxes.filter((box) => box.checked).map((box) => box.value),
    group: group.value,
    parts: text.value.toLowerCase().split(/\s+/).filter(Boolean),
  });

  const matches = (one, want) =>
    (!want.verdicts.length || want.verdicts.includes(one.dataset.verdict)) &&
    (!want.group || one.dataset.groups.split(" ").includes(want.group)) &&
    want.parts.every((part) => words.get(one).includes(part));

  const show = () => {
    const want = wanted();
    for (const one of [...rules, ...scenarios]) one.hidden = !matches(one, want);
    for (const body of bodies) body.hidden = !body.querySelector("tr[data-verdict]:not([hidden])");
    const count = (list) => list.filter((one) => !one.hidden).length;
    shown.textContent =
      `${count(rules)} of ${rules.length} rules, ${count(scenarios)} of ${scenarios.length} scenarios`;
  };

  const state = () => {
    const params = new URLSearchParams();
    const want = wanted();
    if (want.verdicts.length) params.set("verdict", want.verdicts.join(","));
    if (want.group) params.set("group", want.group);
    if (text.value) params.set("text", text.value);
    return params;
  };

  const read = () => {
    const params = new URLSearchParams(location.hash.slice(1));
    const verdicts = (params.get("verdict") || "").split(",");
    for (const box of boxes) box.checked = verdicts.includes(box.value);
    group.value = params.get("group") || "";
    if (group.selectedIndex < 0) group.value = "";
    text.value = params.get("text") || "";
    show();
    const chosen = scenarios.find((one) => one.dataset.id === params.get("scenario"));
    if (chosen) {
      chosen.hidden = false;
      chosen.open = true;
      const summary = chosen.querySelector("summary");
      summary.scrollIntoView();
      summary.focus({ preventScroll: true });
    }
  };

  const changed = () => {
    history.replaceState(null, "", `#${state()}`);
    show();
  };
  filters.hidden = false;
  filters.addEventListener("input", changed);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", () => setTimeout(changed));
  document.getElementById("expand").addEventListener("click", () => {
    for (const one of scenarios) if (!one.hidden) one.open = true;
  });
  document.getElementById("collapse").addEventListener("click", () => {
    for (const one of scenarios) one.open = false;
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof Element && event.target.closest("input, select, textarea");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      text.focus();
    } else if (event.key === "Escape" && event.target === text && text.value) {
      text.value = "";
      changed();
    }
  });
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element && event.target.closest('a[href^="#scenario="]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const params = state();
    params.set("scenario", decodeURIComponent(link.hash.slice("#scenario=".length)));
    history.pushState(null, "", `#${params}`);
    read();
  });
  window.addEventListener("hashchange", () => {
    if (location.hash !== "#rules") read();
  });
  if (location.hash !== "#rules") read(); else show();
})();
