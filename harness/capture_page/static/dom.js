// Elements, and values as the text in them: nothing that was captured ever becomes markup.

/** Return an element with attributes (false and null: without) and children, elements or texts. */
export const make = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);

const SVG = "http://www.w3.org/2000/svg";

/** Return an element of a picture, likewise. */
export const draw = (tag, attributes = {}, ...children) =>
  filled(document.createElementNS(SVG, tag), attributes, children);

const filled = (element, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
};

export const byId = (id) => document.getElementById(id);

// Characters without a shape, or that turn the direction of those after them.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Return a value as a text of one line in which everything is seen. */
export const visible = (value) => (value === null ? "–" : String(value).replace(UNSEEN, "\ufffd"));

export const count = (number) => number.toLocaleString("en-US");

export const counted = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

const iso = (seconds) => {
  const moment = new Date(seconds * 1000);
  return Number.isNaN(moment.getTime()) ? null : moment.toISOString();
};

/** Return a time, in seconds since the epoch, in UTC to the millisecond. */
export const stamp = (seconds) => iso(seconds)?.replace("T", " ").replace("Z", "") ?? String(seconds);

/** Return its time of day. */
export const clock = (seconds) => iso(seconds)?.slice(11, 23) ?? String(seconds);

/** Return what an input of date and time holds for it, and the other way about; null for none. */
export const toInput = (seconds) => (seconds === null ? "" : iso(seconds)?.slice(0, 23) ?? "");
export const fromInput = (text) => {
  const moment = Date.parse(`${text}Z`);
  return Number.isNaN(moment) ? null : moment / 1000;
};

/** Return a duration, in seconds, in a unit that suits it. */
export const duration = (seconds) => {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  return seconds < 120 ? `${seconds.toFixed(3)} s` : `${(seconds / 60).toFixed(1)} min`;
};
