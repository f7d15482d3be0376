// The page: the filter, what it shows, the keys, and following the capture as it grows.

import { EventList } from "./event_list.js";
import { Explanation } from "./explanation.js";
import { NotBilled } from "./not_billed.js";
import { Timeline } from "./timeline.js";
import { ask, newestOnly } from "./questions.js";
import { byId, count, counted, fromInput, make, stamp, toInput, visible } from "./dom.js";
import { fromAddress, isEmpty, none, parameters } from "./filter.js";
import { showSubjects } from "./subjects.js";

const POLL = 1000; // milliseconds between two looks at a capture that grows
const FIRST = 100; // events asked for at once
const VERDICTS = ["accepted", "duplicate", "invalid", "refused", "mixed"];

let filter = fromAddress(location.hash);
let state = null; // the server's last word on the capture
let asked = null; // the state of the capture when its events were asked for

const problems = new Map();
const problem = (about, words) => {
  if (words) problems.set(about, words);
  else problems.delete(about);
  const text = [...new Set(problems.values())].join(" ");
  if (byId("problem").textContent !== text) byId("problem").textContent = text;
  byId("problem").hidden = text === "";
};

const explanation = new Explanation(
  (changes) => {
    explanation.close();
    change({ ...none(), ...changes });
  },
  () => (byId("events-view").hidden ? byId("not-billed-text") : byId("grid").hidden ? byId("text") : byId("grid")).focus(),
);
const list = new EventList(([place, position]) => explanation.event(place, position), (error) => problem("rows", error.message));
const timeline = new Timeline(
  (since, until) => change({ since, until }),
  (place) => explanation.request(place),
);
const notBilled = new NotBilled((id) => explanation.key(id));

// --- asking ---

const eventsAsked = newestOnly((error) => problem("events", error.message));
const timelineAsked = newestOnly((error) => problem("timeline", error.message));

const stateKey = () => (state === null ? "" : `${state.generation}/${state.requests}`);

/** Ask for what the filter finds. */
const show = () => {
  const given = parameters(filter);
  asked = stateKey();
  const question = new URLSearchParams(given);
  question.set("counts", "");
  question.set("newest", "");
  question.set("count", FIRST);
  eventsAsked(async (signal) => {
    const answer = await ask("events", question, signal);
    problem("events", null);
    problem("rows", null);
    list.show(answer, given, severalDays());
    showSubjects(answer, filter.subject, toggleSubject);
    showVerdicts(answer.verdicts);
    showFound(answer);
    if (entered !== null) explainEntered();
  });
  timelineAsked(async (signal) => {
    timeline.show(await ask("timeline", given, signal), state === null ? null : [state.first, state.last]);
    problem("timeline", null);
  });
};

const severalDays = () =>
  state !== null && state.first !== null && stamp(state.first).slice(0, 10) !== stamp(state.last).slice(0, 10);

const change = (changes) => {
  filter = { ...filter, ...changes };
  const hash = parameters(filter).toString();
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname);
  showFilter();
  show();
};

// --- what is shown ---

const showFilter = () => {
  if (byId("text").value !== filter.text) byId("text").value = filter.text;
  chooseFrom(byId("type"), filter.type);
  chooseFrom(byId("lane"), filter.lane);
  for (const name of ["since", "until"]) {
    const shown = toInput(filter[name]);
    if (byId(name).value !== shown && document.activeElement !== byId(name)) byId(name).value = shown;
  }
  for (const verdict of VERDICTS) byId(`verdict-${verdict}`).checked = filter.verdict.includes(verdict);
  byId("of-request").hidden = filter.request === null;
  byId("of-request").textContent = "One request only ×";
  byId("clear").disabled = isEmpty(filter);
};

// A request's id that no event carries is known to the gateway alone.
const idSearched = () => {
  const words = filter.text.trim();
  return state?.journal && /^\S*\d\S*$/.test(words) ? words : null;
};

// Enter in the search explains an id that no event has; before the answer is there, it waits for it.
let entered = null;
const enter = () => {
  entered = filter.text;
  if (!eventsAsked.busy()) explainEntered();
};

const explainEntered = () => {
  const meant = entered === filter.text && !byId("empty").hidden;
  entered = null;
  if (meant) byId("empty").querySelector(".offered")?.click();
};

// The choices are JSON, so that a type may be null, and "" is all of them.
const chooseFrom = (select, values) => {
  select.value = values.length === 0 ? "" : JSON.stringify(values[0]);
};

const offer = (select, values, words) => {
  const wanted = [...new Set(values)].map((value) => JSON.stringify(value));
  const have = [...select.options].slice(1).map((option) => option.value);
  if (wanted.join("\n") === have.join("\n")) return;
  select.replaceChildren(select.options[0], ...wanted.map((value) => make("option", { value }, words(JSON.parse(value)))));
};

const showVerdicts = (counts) => {
  for (const verdict of VERDICTS) byId(`verdict-${verdict}-count`).textContent = count(counts[verdict]);
};

const showFound = (answer) => {
  byId("found").textContent = `${counted(answer.found, "event")}${isEmpty(filter) ? "" : ` of ${count(answer.events)}`}`;
  byId("empty").hidden = answer.found > 0;
  const id = answer.found === 0 ? idSearched() : null;
  byId("empty").replaceChildren(
    id === null ? "" : make("button", { type: "button", class: "offered", click: () => explanation.key(id) },
      `Explain ${visible(id)} (gateway's journal)`),
    answer.events > 0
      ? "No event is as the filter asks. "
      : "No event was captured yet. What the ingest endpoint receives appears here by itself.",
    answer.events > 0 && !isEmpty(filter) ? make("button", { type: "button", click: () => change(none()) }, "Clear the filter") : "",
  );
};

const showState = () => {
  byId("name").textContent = visible(state.name);
  document.title = `Capture ${visible(state.name)}`;
  const reading = state.last_place !== null && state.read < state.last_place;
  const share = reading ? `, reading: ${Math.floor((100 * state.read) / state.last_place)} %` : "";
  const words = `${counted(state.requests, "request")}, ${counted(state.events, "event")}${share}`;
  if (byId("status").textContent !== words) byId("status").textContent = words;
  problem("capture", state.problem);
  offer(byId("type"), [...state.types, ...filter.type], (type) => (type === null ? "(none)" : visible(type)));
  offer(byId("lane"), [...state.lanes, ...filter.lane], (lane) => visible(lane) || "(without a name)");
  byId("lane-choice").hidden = state.lanes.length < 2 && filter.lane.length === 0;
  byId("tabs").hidden = state.journal === null;
  showFilter();
};

// --- following ---

let polling = null;
const poll = async () => {
  clearTimeout(polling);
  if (document.visibilityState !== "visible") return; // goes on when it is seen again
  try {
    state = await ask("state", "");
    problem("state", null);
    showState();
    // Not while an answer is on its way: a capture that grows fast would never be shown.
    if (asked !== stateKey() && !eventsAsked.busy() && !timelineAsked.busy()) show();
    if (state.journal !== null && !byId("not-billed-view").hidden) notBilled.read(state.journal.size);
  } catch (error) {
    problem("state", error.message);
  }
  clearTimeout(polling);
  polling = setTimeout(poll, POLL);
};

// --- what is done ---

const toggleSubject = (subject) => {
  const others = filter.subject.filter((one) => one !== subject);
  change({ subject: others.length < filter.subject.length ? others : [...others, subject] });
};

const showTab = (name, focus) => {
  for (const one of ["events", "not-billed"]) {
    const shown = one === name;
    byId(`tab-${one}`).setAttribute("aria-selected", String(shown));
    byId(`tab-${one}`).tabIndex = shown ? 0 : -1;
    byId(`${one}-view`).hidden = !shown;
  }
  if (name === "not-billed" && state?.journal) notBilled.read(state.journal.size);
  if (focus) byId(`tab-${name}`).focus();
};

const wireFilters = () => {
  for (const verdict of VERDICTS) {
    const box = make("input", { type: "checkbox", id: `verdict-${verdict}`, value: verdict });
    box.addEventListener("change", () =>
      change({ verdict: VERDICTS.filter((one) => byId(`verdict-${one}`).checked) }),
    );
    const words = make("span", { class: `verdict-name ${verdict}` }, verdict);
    byId("verdicts").append(make("label", {}, box, words, make("span", { class: "count", id: `verdict-${verdict}-count` }, "")));
  }
  byId("text").addEventListener("input", () => change({ text: byId("text").value }));
  for (const name of ["type", "lane"]) {
    byId(name).addEventListener("change", () => {
      const { value } = byId(name);
      change({ [name]: value === "" ? [] : [JSON.parse(value)] });
    });
  }
  for (const name of ["since", "until"]) {
    byId(name).addEventListener("change", () => change({ [name]: fromInput(byId(name).value) }));
  }
  byId("of-request").addEventListener("click", () => change({ request: null }));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", (event) => {
    event.preventDefault();
    document.activeElement?.blur?.();
    change(none());
    byId("text").focus();
  });
};

const wireTabs = () => {
  for (const name of ["events", "not-billed"]) byId(`tab-${name}`).addEventListener("click", () => showTab(name, true));
  byId("tabs").addEventListener("keydown", (event) => {
    if (!["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
    showTab(byId("events-view").hidden ? "events" : "not-billed", true);
    event.preventDefault();
  });
  byId("help-button").addEventListener("click", () => byId("help").showModal());
};

const KEYS = {
  "/": () => {
    const box = byId(byId("events-view").hidden ? "not-billed-text" : "text");
    box.focus();
    box.select();
  },
  j: () => move(1),
  k: () => move(-1),
  "?": () => byId("help").showModal(),
  Escape: () => explanation.close(),
};

const move = (by) => {
  if (byId("events-view").hidden) {
    notBilled.move(by);
    return;
  }
  byId("grid").focus({ preventScroll: true });
  list.move(by);
};

const wireKeys = () => {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || byId("help").open) return;
    const typing = event.target.closest?.("input:not([type=checkbox]), select, textarea");
    if (typing && event.key === "Escape" && !explanation.open) leave(typing);
    else if (typing && (event.key !== "Escape" || !explanation.open)) {
      if (event.key === "ArrowDown" && typing.type === "search") move(1);
      else if (event.key === "Enter" && typing.id === "text") enter();
      else return;
    } else if (event.key in KEYS) KEYS[event.key]();
    else return;
    event.preventDefault();
  });
};

// A search is emptied first, then left for the list.
const leave = (box) => {
  if (box.type === "search" && box.value !== "") {
    box.value = "";
    box.dispatchEvent(new Event("input", { bubbles: true }));
  } else if (!byId("grid").hidden && !byId("events-view").hidden) byId("grid").focus();
  else box.blur();
};

wireFilters();
wireTabs();
wireKeys();
showFilter();
document.addEventListener("visibilitychange", poll);
window.addEventListener("hashchange", () => {
  filter = fromAddress(location.hash);
  showFilter();
  show();
});
// What the file has is asked for together with its state: the first is not to wait for the second.
show();
poll();
