// The subjects with their counts, the most frequent ones first; each is a filter.

import { byId, count, counted, make, visible } from "./dom.js";

/** Show the subjects of an answer; `toggled(subject)` is called for one that is clicked. */
export const showSubjects = (answer, chosen, toggled) => {
  const focused = document.activeElement?.closest("#subject-list") ? document.activeElement.dataset.key : null;
  const items = answer.subjects.map(([subject, events]) =>
    make(
      "li",
      {},
      make(
        "button",
        {
          type: "button",
          "aria-pressed": String(chosen.includes(subject)),
          "data-key": JSON.stringify(subject),
          title: subject === null ? "events without a subject" : visible(subject),
          click: () => toggled(subject),
        },
        make("span", { class: "name" }, subject === null ? "(none)" : visible(subject) || "(empty)"),
        make("span", { class: "count" }, count(events)),
      ),
    ),
  );
  byId("subject-list").replaceChildren(...items);
  if (focused !== null) {
    [...byId("subject-list").querySelectorAll("button")].find((one) => one.dataset.key === focused)?.focus();
  }
  const more = answer.all_subjects - answer.subjects.filter(([, events]) => events > 0).length;
  byId("subjects-title").textContent = counted(answer.all_subjects, "subject");
  byId("more-subjects").textContent = more > 0 ? `${count(more)} more; a search narrows them down.` : "";
};
