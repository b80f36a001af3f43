// Creates elements without parsing HTML: the server's data is always inserted as text, never as markup.

export const byId = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const code = (text) => el("code", {}, text);

// A description list.
export const definitions = (pairs) =>
  el("dl", { class: "facts" }, pairs.map(([term, meaning]) => el("div", {}, el("dt", {}, term), el("dd", {}, meaning))));

// A button that stays focusable while it is unavailable, and then shows the reason when pressed.
export function button(label, onPress, attributes = {}) {
  const element = el("button", { type: "button", ...attributes }, label);
  element.addEventListener("click", onPress);
  return element;
}

export const milliseconds = (ms) => `${ms < 100 ? ms.toFixed(1) : Math.round(ms)} ms`;

export const bytes = (text) => new TextEncoder().encode(text).length;
