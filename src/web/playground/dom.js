// Elements, made without a word of HTML: what a server says is text here, and never markup.

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

// Names and what they stand for, one below the other.
export const definitions = (pairs) =>
  el("dl", { class: "facts" }, pairs.map(([term, meaning]) => el("div", {}, el("dt", {}, term), el("dd", {}, meaning))));

// A button that can't do its work for now stays where the keyboard finds it, and says why when it is pressed.
export function button(label, onPress, attributes = {}) {
  const element = el("button", { type: "button", ...attributes }, label);
  element.addEventListener("click", onPress);
  return element;
}

export const milliseconds = (ms) => `${ms < 100 ? ms.toFixed(1) : Math.round(ms)} ms`;

export const bytes = (text) => new TextEncoder().encode(text).length;
