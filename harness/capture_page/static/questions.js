// What is asked of the server, and which of several answers still counts.

/** What went wrong, in words to be shown. */
export class Problem extends Error {}

/** Return the answer of one of the server's addresses. Throws Problem, and AbortError when `signal` says so. */
export const ask = async (path, parameters, signal) => {
  let answer;
  let told;
  try {
    answer = await fetch(`api/${path}?${parameters}`, { signal });
    told = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not answer: is kong-metering capture serve still running?");
  }
  if (!answer.ok) throw new Problem(told.problem ?? `The server answered ${answer.status}.`);
  return told;
};

/** Return what runs one question at a time: a newer one ends the older, whose answer is then not heard. */
export const newestOnly = (failed) => {
  let running = null;
  const run = async (question) => {
    running?.abort();
    const mine = (running = new AbortController());
    try {
      await question(mine.signal);
    } catch (error) {
      if (error.name !== "AbortError" && !mine.signal.aborted) failed(error);
    } finally {
      if (running === mine) running = null;
    }
  };
  return Object.assign(run, { busy: () => running !== null });
};
