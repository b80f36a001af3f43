// The table of what each login has proved, which marks what the last action has changed.

import { formatTime } from "./clock.js";
import { code, el } from "./dom.js";

const MEMBERS = ["acr", "amr", "auth_time"];

export function proofsTable(body, credentials) {
  const rows = credentials.map((credential) => {
    const cells = MEMBERS.map(() => el("td"));
    body.append(el("tr", { "data-credential": credential.id }, el("th", { scope: "row" }, credential.name), cells));
    return { credential, cells, before: {} };
  });
  return () => rows.forEach(updateRow);
}

function updateRow(row) {
  const { credential, cells, before } = row;
  const values = valuesOf(credential);
  MEMBERS.forEach((member, index) => {
    // Another login is no change.
    const was = before.loginId === values.loginId && before[member] !== values[member] ? before[member] : undefined;
    cells[index].dataset.changed = String(was !== undefined);
    cells[index].replaceChildren(...(values[member] === undefined ? ["–"] : [shown(member, values[member]), ...wasElement(member, was)]));
  });
  row.before = values;
}

function valuesOf({ isActive, auth, login }) {
  if (!isActive || !auth) return {};
  return { loginId: login?.id, acr: auth.acr, amr: auth.amr.join(" "), auth_time: auth.auth_time };
}

const shown = (member, value) => (member === "auth_time" ? el("time", { datetime: value }, formatTime(value)) : code(value));

const wasElement = (member, value) =>
  value === undefined ? [] : [el("span", { class: "meaning" }, "was ", member === "auth_time" ? new Date(value).toLocaleTimeString() : code(value))];
