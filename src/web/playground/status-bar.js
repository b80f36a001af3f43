// The status bar: the state of each credential, and the outcome of the last action.

import { code, el, formatMs } from "./dom.js";

export const STATES = {
  none: { symbol: "○", label: "not logged in" },
  active: { symbol: "●", label: "active" },
  expired: { symbol: "◔", label: "expired" },
  ended: { symbol: "✕", label: "ended" },
};

// Why a credential is not active any more, in words.
export function describeEnd({ cause, code: problemCode, afterMs, attempts }) {
  if (afterMs === undefined) return problemCode === undefined ? cause : `${cause} (${problemCode})`;
  const request = attempts === 1 ? "on the first request" : `on request ${attempts}`;
  return `${cause}, rejected ${formatMs(afterMs)} after the response, ${request} (${problemCode})`;
}

// The time from an action to the rejection of a credential, if it was measured.
const delay = ({ afterMs }) => (afterMs === undefined ? "" : ` after ${formatMs(afterMs)}`);

// Adds an entry for each credential, which links to its card. Returns the function that updates them.
export function statusList(list, credentials) {
  const entries = credentials.map((credential) => {
    const state = el("span", { class: "state" });
    const item = el("li", { class: "status-item" },
      el("a", { href: `#${credential.id}` }, el("span", { class: "name" }, credential.name), " ", state));
    list.append(item);
    return { credential, item, state };
  });
  return () => {
    for (const { credential, item, state } of entries) {
      const { symbol, label } = STATES[credential.state];
      item.dataset.state = credential.state;
      state.replaceChildren(el("span", { "aria-hidden": "true" }, symbol), ` ${label}${delay(credential.end ?? {})}`);
    }
  };
}

// Returns the function that shows the outcome of an action, and announces it to screen readers. `checks`: the results of the
// credential checks. `followUp`: a button, if there is a next step.
export function outcomeRegion(region) {
  return ({ headline, problem = null, requestId = null, checks = [], followUp = null }) => {
    region.dataset.failed = String(problem !== null);
    region.replaceChildren(...[
      el("p", { class: "headline" }, headline),
      problem ? problemParagraph(problem, requestId) : null,
      checksParagraph("problem", checks, UNEXPECTED_OUTCOMES),
      checksParagraph("checks", checks, EXPECTED_OUTCOMES),
      followUp ? el("p", {}, followUp) : null,
    ].filter((line) => line !== null));
  };
}

// A problem document (RFC 9457) as text, with the request id for the operator.
function problemParagraph({ title, detail, code: problemCode, errors = [] }, requestId) {
  const fieldErrors = errors.map(({ pointer, detail }) => `${pointer.slice(1) || "the body"} ${detail}`).join("; ");
  return el("p", { class: "problem" }, `${title}. ${fieldErrors ? `${fieldErrors}.` : detail} `, code(problemCode),
    requestId ? el("span", { class: "request-id" }, " Request ", code(requestId)) : "");
}

const EXPECTED_OUTCOMES = [["ended", "Ended", delay], ["expired", "Expired"], ["active", "Active"]];

// These must be visible on every screen size.
const UNEXPECTED_OUTCOMES = [
  ["still_active", "Still active, but should have ended", delay],
  ["unknown", "Status unknown", ({ status }) => ` (${status === 0 ? "no response" : status})`],
];

function checksParagraph(className, checks, outcomes) {
  const lines = outcomes.map(([outcome, label, suffix = () => ""]) => {
    const matching = checks.filter((check) => check.outcome === outcome);
    return matching.length > 0 ? `${label}: ${matching.map((check) => check.credential.name + suffix(check)).join(", ")}.` : "";
  });
  const text = lines.filter((line) => line !== "").join(" ");
  return text === "" ? null : el("p", { class: className }, text);
}

const SCROLL_MARGIN_PX = 12;

// Keeps targets of links and of the keyboard focus from being hidden by the sticky status bar.
export function reserveScrollPadding(statusBar) {
  const update = () => {
    const isSticky = getComputedStyle(statusBar).position === "sticky";
    document.documentElement.style.scrollPaddingTop = isSticky ? `${statusBar.offsetHeight + SCROLL_MARGIN_PX}px` : "0";
  };
  new ResizeObserver(update).observe(statusBar);
  addEventListener("resize", update);
}
