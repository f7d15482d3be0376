// Before anything is shown: the colours that were chosen last time, else those of the system.
"use strict";
(() => {
  const apply = (theme) => {
    const dark = document.getElementById("dark");
    dark.media = { light: "not all", dark: "all" }[theme] ?? "(prefers-color-scheme: dark)";
    document.documentElement.dataset.theme = theme;
  };
  const kept = () => {
    try {
      return localStorage.getItem("theme") ?? "";
    } catch {
      return "";
    }
  };
  apply(kept());
  document.addEventListener("DOMContentLoaded", () => {
    const choice = document.getElementById("theme");
    choice.value = kept();
    choice.addEventListener("change", () => {
      apply(choice.value);
      try {
        localStorage.setItem("theme", choice.value);
      } catch {
        // a browser that keeps nothing: until the page is closed
      }
    });
  });
})();
