// The requests that the gateway did not bill, from its journal.

import { ask, newestOnly } from "./questions.js";
import { byId, count, counted, make, visible } from "./dom.js";

const MOST = 500;

export class NotBilled {
  /** `explain(id)` is called for a request to be explained. */
  constructor(explain) {
    this.explain = explain;
    this.told = null;
    this.size = null;
    this.asking = newestOnly((error) => this.#failed(error.message));
    byId("not-billed-text").addEventListener("input", () => this.#show());
    byId("not-billed-rows").addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row !== null) this.explain(row.dataset.request);
    });
  }

  /** Read the journal, unless it is as it was: `size` is that of the file. */
  read(size) {
    if (size === this.size) return;
    this.size = size;
    if (this.told === null) byId("not-billed-found").textContent = "Reading the journal…";
    this.asking(async (signal) => {
      const told = await ask("not-billed", "", signal);
      if (told.problem !== undefined) this.#failed(told.problem);
      else {
        this.told = told;
        this.#show();
      }
    });
  }

  // What was told before holds no more. It is asked again when the journal is another one.
  #failed(words) {
    this.told = null;
    byId("not-billed-rows").replaceChildren();
    byId("not-billed-found").textContent = visible(words);
  }

  /** Go to the next or previous request. */
  move(by) {
    const buttons = [...byId("not-billed-rows").querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    buttons[Math.max(0, Math.min(buttons.length - 1, at < 0 ? 0 : at + by))]?.focus();
  }

  #show() {
    if (this.told === null) return;
    const parts = byId("not-billed-text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const words = (one) => `${one.request} ${one.outcome} ${one.cause} ${one.rule ?? ""}`.toLowerCase();
    const found = this.told.requests.filter((one) => parts.every((part) => words(one).includes(part)));
    const focused = document.activeElement?.closest("#not-billed-rows tr")?.dataset.request;
    byId("not-billed-rows").replaceChildren(...found.slice(0, MOST).map((one) => this.#row(one)));
    if (focused !== undefined) {
      [...byId("not-billed-rows").rows].find((row) => row.dataset.request === focused)?.querySelector("button").focus();
    }
    byId("not-billed-found").textContent = this.#words(found.length);
  }

  #words(found) {
    const { total, requests } = this.told;
    if (total === 0) return "Every request in the journal is billed.";
    const shown = Math.min(found, MOST);
    const searched = requests.length < total ? ` of the newest ${count(requests.length)}` : "";
    return `${counted(total, "request is", "requests are")} not billed; ${count(shown)}${searched} shown, the newest first.`;
  }

  #row(one) {
    const kind = one.outcome === "under way" ? "finding" : "fail";
    return make(
      "tr",
      { "data-request": one.request },
      make("th", { scope: "row" }, make("button", { type: "button", class: "link" }, visible(one.request))),
      make("td", { class: kind }, one.outcome),
      make("td", {}, visible(one.cause)),
      make("td", {}, one.rule ?? ""),
    );
  }
}
