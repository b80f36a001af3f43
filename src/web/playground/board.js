// The status board: which credentials are valid, and the outcome of the last action.

import { code, el, milliseconds } from "./dom.js";

export const STATES = {
  none: { sign: "○", word: "not signed in" },
  alive: { sign: "●", word: "alive" },
  expired: { sign: "◔", word: "run out" },
  dead: { sign: "✕", word: "dead" },
};

export function fateInWords({ by, code: word, after, looks }) {
  if (after === undefined) return word === undefined ? by : `${by} (${word})`;
  const request = looks === 1 ? "the first request" : `request ${looks}`;
  return `${by}, and refused ${milliseconds(after)} after the answer to that, at ${request} (${word})`;
}

// The time from an action to a credential's end, if it was measured.
const soon = ({ after }) => (after === undefined ? "" : ` after ${milliseconds(after)}`);

// The entry of each credential, which links to its card.
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
      item.dataset.state = slot.state;
      state.replaceChildren(el("span", { "aria-hidden": "true" }, sign), ` ${word}${soon(slot.death ?? {})}`);
    }
  };
}

// Shows the outcome of an action, and announces it to screen readers.
export function news(region) {
  return ({ headline, problem = null, requestId = null, fates = [], offer = null }) => {
    region.dataset.refused = String(problem !== null);
    region.replaceChildren(...[
      el("p", { class: "headline" }, headline),
      problem ? told(problem, requestId) : null,
      paragraph("problem", fates, ALARMS),
      paragraph("fates", fates, AS_EXPECTED),
      offer ? el("p", {}, offer) : null,
    ].filter((line) => line !== null));
  };
}

// A problem document (RFC 9457) as text, with the request id for the operator.
function told({ title, detail, code: word, errors = [] }, requestId) {
  const wrong = errors.map(({ pointer, detail }) => `${pointer.slice(1) || "the body"} ${detail}`).join("; ");
  return el("p", { class: "problem" }, `${title}. ${wrong ? `${wrong}.` : detail} `, code(word),
    requestId ? el("span", { class: "request-id" }, " Request ", code(requestId)) : "");
}

const AS_EXPECTED = [["dead", "Dead", soon], ["expired", "Run out"], ["alive", "Alive"]];

// Outcomes that must be visible on every screen size.
const ALARMS = [
  ["late", "Still alive, and should not be", soon],
  ["unknown", "Could not be asked", ({ status }) => ` (${status === 0 ? "no answer" : status})`],
];

function paragraph(name, fates, kinds) {
  const lines = kinds.map(([kind, word, tail = () => ""]) => {
    const some = fates.filter(({ fate }) => fate === kind);
    return some.length > 0 ? `${word}: ${some.map((it) => it.slot.name + tail(it)).join(", ")}.` : "";
  });
  const text = lines.filter((line) => line !== "").join(" ");
  return text === "" ? null : el("p", { class: name }, text);
}

const MARGIN_PX = 12;

// Keeps targets of links and of the keyboard focus from being hidden by the sticky board.
export function keepClear(board) {
  const makeRoom = () => {
    const isInTheWay = getComputedStyle(board).position === "sticky";
    document.documentElement.style.scrollPaddingTop = isInTheWay ? `${board.offsetHeight + MARGIN_PX}px` : "0";
  };
  new ResizeObserver(makeRoom).observe(board);
  addEventListener("resize", makeRoom);
}
