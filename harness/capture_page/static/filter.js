// The filter: what it asks of the server, and how it stands in the page's address.

const LISTS = ["subject", "type", "lane", "verdict"];
const NUMBERS = ["since", "until", "request"];

/** Subjects and types may be null: events without one. */
export const none = () => ({
  text: "", subject: [], type: [], lane: [], verdict: [], since: null, until: null, request: null,
});

/** Return the parameters that the server understands. */
export const parameters = (filter) => {
  const made = new URLSearchParams();
  if (filter.text.trim()) made.set("text", filter.text);
  for (const name of LISTS) {
    const quoted = name === "subject" || name === "type";
    for (const value of filter[name]) made.append(name, quoted ? JSON.stringify(value) : value);
  }
  for (const name of NUMBERS) if (filter[name] !== null) made.set(name, filter[name]);
  return made;
};

/** Return the filter that an address has after its #; what cannot be understood is left out. */
export const fromAddress = (hash) => {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const filter = none();
  filter.text = given.get("text") ?? "";
  for (const name of LISTS) {
    for (const value of given.getAll(name)) {
      if (name === "lane" || name === "verdict") filter[name].push(value);
      else {
        try {
          const text = JSON.parse(value);
          if (text === null || typeof text === "string") filter[name].push(text);
        } catch {
          continue;
        }
      }
    }
  }
  for (const name of NUMBERS) {
    const number = Number(given.get(name) ?? NaN);
    if (Number.isFinite(number)) filter[name] = number;
  }
  return filter;
};

export const isEmpty = (filter) => parameters(filter).size === 0;
