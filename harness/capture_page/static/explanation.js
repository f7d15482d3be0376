// What is known of one event or one request, beside the list.

import { ask, newestOnly } from "./questions.js";
import { byId, clock, count, counted, duration, make, stamp, visible } from "./dom.js";

export class Explanation {
  /** `narrow(changes)` is called with what a filter should have; `closed()` when there is nothing to be seen any more. */
  constructor(narrow, closed) {
    this.panel = byId("explanation");
    this.narrow = narrow;
    this.closed = closed;
    this.before = [];
    this.shown = null;
    this.asking = newestOnly((error) => this.#fill("Cannot be explained", [make("p", { class: "fail" }, error.message)]));
    byId("explanation-close").addEventListener("click", () => this.close());
    byId("explanation-back").addEventListener("click", () => this.#back());
  }

  get open() {
    return !this.panel.hidden;
  }

  /** Explain the event at a position in the body of the request at a place. */
  event(place, position) {
    this.#ask({ path: "event", parameters: { place, position }, words: "Event", tell: (told) => this.#lives(told) });
  }

  /** Tell of the request at a place. */
  request(place) {
    this.#ask({ path: "request", parameters: { place }, words: "Request", tell: (told) => this.#request(told) });
  }

  /** Explain whatever has an id or carries a value. */
  key(key) {
    this.#ask({ path: "key", parameters: { key }, words: key, tell: (told) => this.#lives(told, key) });
  }

  close() {
    if (!this.open) return;
    this.asking(async () => {});
    this.panel.hidden = true;
    this.shown = null;
    this.before = [];
    document.body.classList.remove("explained");
    this.closed();
  }

  #ask(question, back = false) {
    if (this.shown !== null && !back) this.before.push(this.shown);
    this.shown = question;
    this.panel.hidden = false;
    document.body.classList.add("explained");
    byId("explanation-back").hidden = this.before.length === 0;
    this.panel.setAttribute("aria-busy", "true");
    this.asking(async (signal) => {
      const told = await ask(question.path, new URLSearchParams(question.parameters), signal);
      const [title, parts] = question.tell(told);
      this.#fill(title, parts);
    });
    this.panel.focus();
  }

  #back() {
    const question = this.before.pop();
    if (question !== undefined) this.#ask(question, true);
  }

  #fill(title, parts) {
    byId("explanation-title").textContent = title;
    byId("explanation-body").replaceChildren(...parts);
    this.panel.scrollTop = 0;
    this.panel.setAttribute("aria-busy", "false");
  }

  #lives({ lives, gateway }, key = null) {
    const parts = [];
    const ids = lives.map((life) => life.id);
    if (gateway !== null) parts.push(...this.#gateway(gateway, ids));
    const sent = gateway?.accounts?.some((account) => account.events.length > 0);
    if (lives.length === 0 && !sent) parts.push(make("p", {}, "The capture has no event with this id or value."));
    for (const life of lives) parts.push(...this.#life(life));
    const id = key ?? lives[0].id;
    return [id === null ? "Event without an id" : visible(id), parts];
  }

  #life(life) {
    const billed = life.conclusion.startsWith("billed");
    const more = life.delivered - life.deliveries.length;
    return [
      make("h3", {}, "At the ingest endpoint"),
      make("p", { class: `verdict ${billed ? "pass" : "fail"}` }, visible(life.conclusion)),
      make("ol", { class: "steps" }, ...life.deliveries.map((one) => this.#delivery(one))),
      more > 0 && make("p", { class: "note" }, `${count(more)} deliveries more`),
      make("h3", {}, "The event"),
      make("pre", { tabindex: 0, "aria-label": "The event as JSON" }, life.entry),
      this.#only(life.subject),
    ].filter(Boolean);
  }

  #only(subject) {
    if (subject === null) return null;
    const only = () => this.narrow({ subject: [subject] });
    return make("button", { type: "button", click: only }, `List subject ${visible(subject)}`);
  }

  #delivery(one) {
    const findings = [...(one.findings ?? []), ...(one.request_findings ?? [])];
    const fault = one.fault === null || one.fault === undefined ? "" : ` by the fault script (${one.fault})`;
    const answer = one.status === null || one.status === undefined ? "no answer" : `answered ${one.status}`;
    const wait = one.wait === null || one.wait === undefined ? "" : ` (+${duration(one.wait)})`;
    return make(
      "li",
      {},
      make("span", { class: "when", title: `${stamp(one.at)} UTC` }, `${clock(one.at)}${wait}`),
      " ",
      this.#requestLink(one.request, `request ${one.lane}#${one.request}`),
      `, event ${one.position + 1} of ${count(one.entries)}: `,
      visible(`${answer}${fault}, `),
      make("span", { class: `verdict-name ${one.verdict}` }, one.verdict),
      ...this.#findings(findings),
    );
  }

  #findings(findings) {
    return findings.map((one) =>
      make("div", { class: "finding" }, visible(`${one.rule}${one.pointer ? ` ${one.pointer}` : ""}: ${one.message}`)),
    );
  }

  #requestLink(place, words) {
    return make("button", { type: "button", class: "link", click: () => this.request(place) }, visible(words));
  }

  #gateway(told, ids) {
    if (told.problem !== undefined) {
      return [make("h3", {}, "At the gateway"), make("p", { class: "note" }, visible(told.problem))];
    }
    return told.accounts.flatMap((account) => this.#account(account, ids));
  }

  // `ids` are those of the events that are told of anyway.
  #account({ request, outcome, line, disagreements, events, steps }, ids) {
    const began = steps[0]?.[0] ?? 0;
    const kind = { billed: "pass", "under way": "finding" }[outcome] ?? "fail";
    const others = events.filter((id) => id !== null && !ids.includes(id));
    return [
      make("h3", {}, "From the gateway to the ingest endpoint"),
      make("p", { class: `verdict ${kind}` }, visible(line)),
      make("p", { class: "note" }, visible(`gateway request ${request}, ${stamp(began)} UTC`)),
      ...disagreements.map((words) => make("p", { class: "finding" }, visible(words))),
      make("ol", { class: "steps" }, ...steps.map(([at, side, text]) => this.#step(at - began, side, text))),
      ...others.map((id) =>
        make("button", { type: "button", class: "link", click: () => this.key(id) }, visible(`Event ${id}`)),
      ),
    ];
  }

  #step(after, side, text) {
    const when = make("span", { class: "when" }, `${after < 0 ? "−" : "+"}${Math.abs(after).toFixed(3)} s`);
    return make("li", { class: side === "gateway" ? "" : "endpoint" }, when, ` ${visible(`${side}: ${text}`)}`);
  }

  #request(told) {
    const verdicts = Object.entries(told.verdicts).map(([verdict, events]) => `${count(events)} ${verdict}`);
    const facts = {
      arrived: `${stamp(told.arrived_at)} UTC`,
      lane: told.lane || null,
      answer: told.status === null ? "none" : String(told.status),
      fault: told.fault ?? null,
      events: told.entries === 0 ? "none that could be judged" : verdicts.join(", "),
      body: `${counted(told.size, "byte")}${told.content_type ? `, ${told.content_type}` : ""}`,
      connection: told.connection,
      relayed: told.relayed ? `to ${told.relayed.host}: ${told.relayed.failure ?? `answered ${told.relayed.status}`}` : null,
    };
    const pairs = Object.entries(facts).filter(([, value]) => value !== null);
    const parts = [
      make("p", { class: "request-line" }, visible(`${told.method} ${told.path}`)),
      make("dl", { class: "facts" }, ...pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, visible(value))))),
    ];
    if (told.entries > 0) {
      const only = () => this.narrow({ request: told.place });
      parts.push(make("button", { type: "button", click: only }, `List its ${counted(told.entries, "event")}`));
    }
    if (told.tries.length > 1) {
      const tries = told.tries.map(([place, , at, status]) => {
        const words = `${clock(at)} request ${told.lane}#${place}: ${status === null ? "no answer" : `answered ${status}`}`;
        return make("li", {}, place === told.place ? make("b", {}, visible(words)) : this.#requestLink(place, words));
      });
      parts.push(make("h3", {}, "Tries of this batch"), make("ol", { class: "steps" }, ...tries));
    }
    if (told.findings.length > 0) {
      const more = told.found - told.findings.length;
      parts.push(make("h3", {}, "Findings"));
      for (const [where, one] of told.findings) {
        const place = one.pointer ? ` ${one.pointer}` : "";
        const words = `${where ? `${where}: ` : ""}${one.rule}${place}: ${one.message}`;
        parts.push(make("div", { class: "finding" }, visible(words)));
      }
      if (more > 0) parts.push(make("p", { class: "note" }, `${count(more)} findings more`));
    }
    const headers = told.headers.map(([name, value]) => `${visible(name)}: ${visible(value)}`).join("\n");
    parts.push(
      make("h3", {}, "Headers"), make("pre", { tabindex: 0, "aria-label": "Headers" }, headers),
      make("h3", {}, "Body"), make("pre", { tabindex: 0, "aria-label": "Body" }, told.body),
    );
    return [visible(`Request ${told.lane}#${told.place}`), parts];
  }
}
