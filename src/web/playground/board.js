// The board: which credentials are good, and what happened last.

import { code, el, milliseconds } from "./dom.js";

export const STATES = {
  none: { sign: "○", word: "not signed in" },
  alive: { sign: "●", word: "alive" },
  expired: { sign: "◔", word: "run out" },
  dead: { sign: "✕", word: "dead" },
};

export function fateInWords({ by, code: word, after, looks }) {
  if (after === undefined) return `${by} (${word})`;
  const request = looks === 1 ? "the first request" : `request ${looks}`;
  return `${by}, and refused ${milliseconds(after)} after the answer to that, at ${request} (${word})`;
}

// One entry for each credential, which leads to its card.
export function pills(list, slots) {
  const all = slots.map((slot) => {
    const state = el("span", { class: "state" });
    const item = el("li", { class: "pill" },
      el("a", { href: `#${slot.id}` }, el("span", { class: "name" }, slot.name), " ", state));
    list.append(item);
    return { slot, item, state };
  });
  return () => {
    for (const { slot, item, state } of all) {
      const { sign, word } = STATES[slot.state];
      const soon = slot.death?.after === undefined ? "" : ` after ${milliseconds(slot.death.after)}`;
      item.dataset.state = slot.state;
      state.replaceChildren(el("span", { "aria-hidden": "true" }, sign), ` ${word}${soon}`);
    }
  };
}

// Tells what came of an action, to eyes and ears alike.
export function news(region) {
  return ({ headline, problem = null, requestId = null, fates = [], offer = null }) => {
    region.dataset.refused = String(problem !== null);
    region.replaceChildren(...[
      el("p", { class: "headline" }, headline),
      problem ? told(problem, requestId) : null,
      fates.length > 0 ? el("p", { class: "fates" }, summary(fates)) : null,
      offer ? el("p", {}, offer) : null,
    ].filter((line) => line !== null));
  };
}

// A problem document (RFC 9457) in words, with what to ask the operator by.
function told({ title, detail, code: word, errors = [] }, requestId) {
  const wrong = errors.map(({ pointer, detail }) => `${pointer.slice(1) || "the body"} ${detail}`).join("; ");
  return el("p", { class: "problem" }, `${title}. ${wrong ? `${wrong}.` : detail} `, code(word),
    requestId ? el("span", { class: "request-id" }, " Request ", code(requestId)) : "");
}

function summary(fates) {
  const of = (kind, word, tail = () => "") => {
    const some = fates.filter(({ fate }) => fate === kind);
    return some.length > 0 ? `${word}: ${some.map((it) => it.slot.name + tail(it)).join(", ")}.` : null;
  };
  return [
    of("dead", "Dead", ({ after }) => ` after ${milliseconds(after)}`),
    of("expired", "Run out"),
    of("late", "Still alive, and should not be", ({ after }) => ` after ${milliseconds(after)}`),
    of("unknown", "Could not be asked", ({ status }) => ` (${status})`),
    of("alive", "Alive"),
  ].filter((line) => line !== null).join(" ");
}
