// The timeline: bars of events by verdict, and below them the batches, each with its tries joined by a line.

import { byId, clock, counted, draw, make, stamp, visible } from "./dom.js";

const BARS = 44, AXIS = 18, ROW = 14, MOST_ROWS = 6, EDGE = 8; // pixels
const VERDICTS = ["accepted", "duplicate", "invalid", "refused"];
const STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800,
  3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2592000, 31536000];

export class Timeline {
  /** `narrowed(since, until)` is called with a stretch of time, `told(place)` with a request to tell of. */
  constructor(narrowed, told) {
    this.plot = byId("plot");
    this.narrowed = narrowed;
    this.told = told;
    this.data = null;
    this.whole = null;
    this.current = -1;
    this.width = 0;
    this.from = null; // where a stretch that is being chosen begins: until it is, the picture stays
    byId("zoom-in").addEventListener("click", () => this.#zoom(0.5));
    byId("zoom-out").addEventListener("click", () => this.#zoom(2));
    byId("zoom-all").addEventListener("click", () => this.narrowed(null, null));
    new ResizeObserver(() => {
      if (Math.abs(this.plot.clientWidth - this.width) >= 1) this.#draw();
    }).observe(this.plot);
  }

  /** Show an answer of the server; `whole` is the time of the first and the last request. */
  show(data, whole) {
    this.data = data;
    this.whole = whole;
    this.#draw();
  }

  #zoom(factor) {
    if (this.data === null) return;
    const middle = (this.data.start + this.data.end) / 2;
    const half = ((this.data.end - this.data.start) / 2) * factor;
    const [first, last] = this.whole ?? [-Infinity, Infinity];
    const almost = half / 100; // so that in and out again is all of it, whatever was rounded
    if (middle - half <= first + almost && middle + half >= last - almost) this.narrowed(null, null);
    else this.#narrow(middle - half, middle + half);
  }

  #narrow(since, until) {
    this.narrowed(...[since, until].map((at) => Math.round(at * 1000) / 1000));
  }

  #draw() {
    if (this.from !== null) return;
    this.width = this.plot.clientWidth;
    const zoomed = this.data !== null;
    for (const id of ["zoom-in", "zoom-out", "zoom-all"]) byId(id).disabled = !zoomed;
    if (!zoomed || this.width < 50) {
      this.plot.replaceChildren();
      byId("legend").textContent = zoomed ? "" : "No request was captured yet.";
      return;
    }
    const { start, end } = this.data;
    this.x = (at) => EDGE + ((at - start) / (end - start)) * (this.width - 2 * EDGE);
    this.at = (x) => start + ((x - EDGE) / (this.width - 2 * EDGE)) * (end - start);
    const { drawn, rows, left } = this.#batches();
    const height = BARS + AXIS + rows * ROW + 4;
    const picture = draw("svg", { viewBox: `0 0 ${this.width} ${height}`, width: this.width, height });
    const brush = draw("rect", { class: "brush", y: 0, height: BARS + AXIS, width: 0 });
    picture.append(...this.#axis(height), ...this.#bars(), brush, drawn);
    this.#brushed(picture, brush);
    const focused = this.plot.contains(document.activeElement);
    this.plot.replaceChildren(picture);
    if (focused && this.tries.length > 0) drawn.focus();
    byId("legend").replaceChildren(...this.#legend(left));
  }

  #bars() {
    const { bars } = this.data;
    const sums = bars[0].map((_, bar) => bars.reduce((sum, counts) => sum + counts[bar], 0));
    const most = Math.max(1, ...sums);
    const total = sums.reduce((sum, one) => sum + one, 0);
    const step = (this.width - 2 * EDGE) / bars[0].length;
    const group = draw("g", { role: "img", "aria-label": `${counted(total, "event")} by time of arrival` });
    sums.forEach((sum, bar) => {
      let y = BARS;
      VERDICTS.forEach((verdict, index) => {
        const events = bars[index][bar];
        if (events === 0) return;
        // What is few among many is seen nevertheless.
        const height = Math.min(Math.max((events / most) * (BARS - 4), 2), Math.max(y, 1));
        y -= height;
        const shape = draw("rect", {
          class: verdict, x: EDGE + bar * step, width: Math.max(step - 0.5, 0.5), y, height,
        });
        shape.append(draw("title", {}, `${counted(events, "event")} ${verdict}`));
        group.append(shape);
      });
    });
    return [group];
  }

  #axis(height) {
    const { start, end } = this.data;
    const wide = (end - start) / Math.max(2, this.width / 110);
    const step = STEPS.find((one) => one >= wide) ?? STEPS.at(-1);
    const made = [];
    const days = stamp(start).slice(0, 10) !== stamp(end).slice(0, 10);
    for (let at = Math.ceil(start / step) * step; at <= end && made.length < 60; at += step) {
      const x = this.x(at);
      const words = days ? stamp(at).slice(5, 16) : step < 1 ? clock(at) : clock(at).slice(0, 8);
      const room = words.length * 3.2;
      made.push(draw("line", { class: "grid", x1: x, x2: x, y1: 0, y2: height }));
      if (x < room || x > this.width - room) continue;
      made.push(draw("text", { class: "tick", x, y: BARS + 13, "text-anchor": "middle" }, words));
    }
    return made;
  }

  // Each batch in the first row in which nothing else is where it is.
  #batches() {
    const ends = [];
    const chosen = this.tries?.[this.current]?.place;
    this.tries = [];
    let left = this.data.total - this.data.batches.length;
    const shapes = [];
    for (const [lane, entries, tries] of this.data.batches) {
      const seen = tries
        .map(([place, , at, status, fault], index) => ({ place, at, status, fault, index, x: this.x(at) }))
        .filter((one) => one.at >= this.data.start && one.at <= this.data.end);
      if (seen.length === 0) continue;
      const row = ends.findIndex((end) => end < seen[0].x - 12);
      const index = row >= 0 ? row : ends.length;
      if (index >= MOST_ROWS) {
        left += 1;
        continue;
      }
      ends[index] = seen.at(-1).x;
      const y = BARS + AXIS + index * ROW + ROW / 2;
      if (seen.length > 1) shapes.push(draw("line", { class: "joined", x1: seen[0].x, x2: seen.at(-1).x, y1: y, y2: y }));
      for (const one of seen) shapes.push(this.#mark(one, y, lane, entries, tries.length));
    }
    const words = `Batches: ${counted(this.tries.length, "request")}; left and right arrows go from one to the next`;
    const drawn = draw("g", { role: "listbox", "aria-label": words, tabindex: this.tries.length ? 0 : -1 }, ...shapes);
    drawn.addEventListener("keydown", (event) => this.#key(event, drawn));
    drawn.addEventListener("click", (event) => {
      const place = event.target.closest("[data-place]")?.dataset.place;
      if (place !== undefined) this.told(Number(place));
    });
    this.current = this.tries.findIndex((one) => one.place === chosen);
    if (this.current >= 0) this.#point(drawn);
    return { drawn, rows: ends.length, left };
  }

  #mark(one, y, lane, entries, all) {
    const good = one.status >= 200 && one.status < 300;
    const size = Math.min(5.5, 2.5 + Math.log10(Math.max(entries, 1)));
    const answer = one.status === null ? "no answer" : `answered ${one.status}`;
    const fault = one.fault === null ? "" : ` (${one.fault})`;
    const words = visible(
      `${clock(one.at)}: request ${lane}#${one.place}, try ${one.index + 1} of ${all}, ${counted(entries, "event")}, ` +
        `${answer}${fault}`,
    );
    const { x } = one;
    const shape = good
      ? draw("circle", { class: "taken", cx: x, cy: y, r: size })
      : draw("path", { class: "failed", d: `M${x - size} ${y - size}l${2 * size} ${2 * size}m0 ${-2 * size}l${-2 * size} ${2 * size}` });
    const room = draw("rect", { class: "room", x: x - 6, y: y - ROW / 2, width: 12, height: ROW });
    const mark = draw(
      "g",
      { role: "option", id: `try-${one.place}`, "data-place": one.place, "aria-label": words, "aria-selected": "false" },
      room, shape, draw("title", {}, words),
    );
    this.tries.push({ place: one.place, mark });
    return mark;
  }

  #point(drawn) {
    this.tries.forEach(({ mark }, index) => mark.setAttribute("aria-selected", String(index === this.current)));
    drawn.setAttribute("aria-activedescendant", this.tries[this.current].mark.id);
  }

  #key(event, drawn) {
    const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -this.tries.length, End: this.tries.length };
    if (event.key in steps) {
      this.current = Math.max(0, Math.min(this.tries.length - 1, this.current + steps[event.key]));
      this.#point(drawn);
    } else if (event.key === "Enter" && this.current >= 0) this.told(this.tries[this.current].place);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #brushed(picture, brush) {
    const place = (event) => Math.max(EDGE, Math.min(this.width - EDGE, event.clientX - picture.getBoundingClientRect().x));
    const done = () => {
      this.from = null;
      brush.setAttribute("width", 0);
      this.#draw(); // what came meanwhile
    };
    picture.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || event.target.closest("[data-place]")) return;
      this.from = place(event);
      picture.setPointerCapture(event.pointerId);
    });
    picture.addEventListener("pointermove", (event) => {
      if (this.from === null) return;
      const to = place(event);
      brush.setAttribute("x", Math.min(this.from, to));
      brush.setAttribute("width", Math.abs(to - this.from));
    });
    picture.addEventListener("pointerup", (event) => {
      if (this.from === null) return;
      const ends = [this.from, place(event)].sort((one, other) => one - other);
      const [since, until] = ends.map(this.at);
      done();
      if (ends[1] - ends[0] > 4) this.#narrow(since, until);
    });
    picture.addEventListener("pointercancel", done);
  }

  #legend(left) {
    const key = VERDICTS.map((verdict) => make("span", { class: `key ${verdict}` }, verdict));
    const marks = "● taken, × not; a line joins the tries of a batch";
    const more = left > 0 ? `; ${counted(left, "batch is", "batches are")} not drawn: zoom in to see more` : "";
    return [...key, ` ${marks}${more}.`];
  }
}
