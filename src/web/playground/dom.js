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

export const descriptionList = (pairs) =>
  el("dl", { class: "facts" }, pairs.map(([term, description]) => el("div", {}, el("dt", {}, term), el("dd", {}, description))));

// To make it unavailable use `aria-disabled`: the button stays focusable, and shows the reason when pressed.
export function button(label, onClick, attributes = {}) {
  const element = el("button", { type: "button", ...attributes }, label);
  element.addEventListener("click", onClick);
  return element;
}

export const formatMs = (ms) => `${ms < 100 ? ms.toFixed(1) : Math.round(ms)} ms`;

export const byteLength = (text) => new TextEncoder().encode(text).length;
