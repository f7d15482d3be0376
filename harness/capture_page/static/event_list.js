// The list of events: as many rows as are seen, however many there are. The newest is on top.
// An event is known by its number among those found, counted from the oldest: that stays when more arrive.

import { ask, newestOnly } from "./questions.js";
import { byId, clock, make, stamp, visible } from "./dom.js";

const ROW = 28; // pixels, as in capture.css
const TALLEST = 8_000_000; // pixels: browsers give up on taller elements
const PIECE = 100; // rows asked for at once
const MOST_KEPT = 4000;
const HEADS = ["arrived", "verdict", "subject", "type", "id", "request", "answer"];

export class EventList {
  /** `explain(row)` is called for the event to be explained, `failed(error)` when rows cannot be had. */
  constructor(explain, failed) {
    this.grid = byId("grid");
    this.space = byId("space");
    this.layer = byId("rows");
    this.explain = explain;
    this.found = 0;
    this.chosen = null;
    this.known = new Map();
    this.pool = [];
    this.parameters = new URLSearchParams();
    this.days = false;
    this.fetch = newestOnly(failed);
    byId("head").append(...HEADS.map((name) => make("span", { role: "columnheader", class: name }, name)));
    this.grid.addEventListener("scroll", () => this.render(), { passive: true });
    this.grid.addEventListener("keydown", (event) => this.#key(event));
    this.layer.addEventListener("click", (event) => this.#click(event));
    new ResizeObserver(() => this.render()).observe(this.grid);
  }

  /** Show an answer to `parameters`: from the top and with nothing chosen, unless it is the same question as before. */
  show(answer, parameters, days) {
    const question = `${answer.generation}?${parameters}`;
    const anew = question !== this.question;
    this.question = question;
    const more = answer.found - this.found;
    this.parameters = parameters;
    this.days = days;
    if (anew) {
      this.known.clear();
      this.chosen = null;
    }
    this.found = answer.found;
    answer.rows.forEach((row, index) => this.known.set(answer.start + index, row));
    this.grid.setAttribute("aria-rowcount", this.found + 1);
    this.grid.hidden = this.found === 0;
    this.space.style.height = `${this.#height()}px`;
    const top = this.#top();
    if (anew) this.grid.scrollTop = 0;
    else if (more > 0 && this.grid.scrollTop > 0) this.#scrollTo(top + more * ROW); // what is read stays in its place
    this.render();
    this.grid.dataset.shown = parameters.toString();
  }

  /** Choose the next or previous event, `by` so many. */
  move(by) {
    if (this.found === 0) return;
    const from = this.chosen !== null ? this.#place(this.chosen) : by > 0 ? -1 : this.found;
    const place = from + by;
    this.choose(this.found - 1 - Math.max(0, Math.min(this.found - 1, place)));
  }

  /** Choose an event by its number and bring it into sight. */
  choose(number) {
    this.chosen = number;
    const at = this.#place(number) * ROW;
    const top = this.#top();
    const seen = this.#seen();
    if (at < top) this.#scrollTo(at);
    else if (at + ROW > top + seen) this.#scrollTo(at + ROW - seen);
    this.render();
  }

  render() {
    if (this.grid.hidden) return;
    const top = this.#top();
    const first = Math.max(0, Math.floor(top / ROW) - 3);
    const last = Math.min(this.found - 1, Math.ceil((top + this.#seen()) / ROW) + 3);
    while (this.pool.length < last - first + 1) this.pool.push(this.#newRow());
    // The layer begins where its first row belongs, relative to what the scrollbar shows.
    this.layer.style.transform = `translateY(${this.grid.scrollTop + first * ROW - top}px)`;
    let lacking = null;
    let active = null;
    this.pool.forEach((row, index) => {
      const place = first + index;
      row.element.hidden = place > last;
      if (place > last) {
        row.element.setAttribute("aria-selected", "false");
        return;
      }
      const number = this.found - 1 - place;
      const known = this.known.get(number);
      if (known === undefined) lacking ??= number;
      this.#fill(row, number, known, place);
      if (number === this.chosen) active = row.element.id;
    });
    if (active === null) this.grid.removeAttribute("aria-activedescendant");
    else this.grid.setAttribute("aria-activedescendant", active);
    if (lacking !== null) this.#ask(this.found - 1 - last, lacking);
  }

  #newRow() {
    const cells = HEADS.map((name) => make("span", { role: "gridcell", class: name }, ""));
    const element = make("div", { role: "row", class: "row", id: `row-${this.pool.length}` }, ...cells);
    this.layer.append(element);
    return { element, cells, row: undefined, number: null };
  }

  #fill(row, number, known, place) {
    row.element.setAttribute("aria-selected", String(number === this.chosen));
    row.element.setAttribute("aria-rowindex", place + 2);
    row.number = number;
    row.element.dataset.number = number;
    if (row.row === known && known !== undefined && row.days === this.days) return;
    row.row = known;
    row.days = this.days;
    const values = known === undefined ? HEADS.map(() => "…") : this.#values(known);
    row.cells.forEach((cell, index) => {
      cell.textContent = values[index];
      cell.title = known === undefined ? "" : index === 0 ? `${stamp(known[4])} UTC` : values[index];
    });
    row.element.dataset.verdict = known === undefined ? "" : known[5];
  }

  #values([place, , , lane, at, verdict, status, subject, type, id]) {
    const request = `${lane}#${place}`;
    const answer = status === null ? "none" : String(status);
    return [this.days ? stamp(at) : clock(at), verdict, subject, type, id, request, answer].map(visible);
  }

  // Keeps to what is seen now: a faster scroll supersedes what was asked for on the way.
  #ask(low, high) {
    const start = Math.max(0, Math.min(low, high - PIECE + 1));
    const end = Math.min(this.found, Math.max(high + 1, start + PIECE));
    const asked = `${start}-${end}-${this.parameters}`;
    if (this.asked === asked) return;
    this.asked = asked;
    const question = new URLSearchParams(this.parameters);
    question.set("start", start);
    question.set("count", end - start);
    this.fetch(async (signal) => {
      try {
        const answer = await ask("events", question, signal);
        if (this.known.size > MOST_KEPT) this.known.clear();
        answer.rows.forEach((row, index) => this.known.set(answer.start + index, row));
      } finally {
        if (this.asked === asked) this.asked = null;
      }
      this.render();
    });
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.#seen() / ROW) - 1);
    const steps = {
      ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.found, End: this.found,
    };
    if (event.key in steps) this.move(steps[event.key]);
    else if (event.key === "Enter") this.#explain();
    else return;
    event.preventDefault();
  }

  #click(event) {
    const element = event.target.closest(".row");
    if (element === null) return;
    this.choose(Number(element.dataset.number));
    this.#explain();
  }

  #explain() {
    const row = this.known.get(this.chosen);
    if (row !== undefined) this.explain(row);
  }

  #place(number) {
    return this.found - 1 - number;
  }

  #seen() {
    return Math.max(ROW, this.grid.clientHeight - ROW); // its head takes a row
  }

  #height() {
    return Math.min(this.found * ROW, TALLEST);
  }

  // Where the list is scrolled to if each row had its height. With more rows than fit, the scrollbar goes faster.
  #top() {
    const most = this.#height() - this.#seen();
    return most <= 0 ? 0 : this.grid.scrollTop * ((this.found * ROW - this.#seen()) / most);
  }

  #scrollTo(top) {
    const most = this.#height() - this.#seen();
    const scrolled = most <= 0 ? 0 : top * (most / (this.found * ROW - this.#seen()));
    this.grid.scrollTop = Math.round(scrolled);
  }
}
