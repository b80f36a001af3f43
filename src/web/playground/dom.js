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

const COPIED_MS = 2000;

// Puts the text on the clipboard, and says so. Without https, or http://localhost, pages have no clipboard.
export function copyButton(label, text) {
  const element = button(label, async () => {
    const isCopied = await navigator.clipboard?.writeText(text()).then(() => true, () => false);
    element.textContent = isCopied ? "Copied" : "Not copied: select it by hand";
    setTimeout(() => { element.textContent = label; }, COPIED_MS);
  }, { "aria-live": "polite" });
  return element;
}

// An SVG of one path, in the colours of its class.
export function svgPath(size, path, attributes) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const shape = document.createElementNS("http://www.w3.org/2000/svg", "path");
  for (const [name, value] of Object.entries({ viewBox: `0 0 ${size} ${size}`, role: "img", ...attributes })) svg.setAttribute(name, value);
  shape.setAttribute("d", path);
  svg.append(shape);
  return svg;
}

export const formatMs = (ms) => `${ms < 100 ? ms.toFixed(1) : Math.round(ms)} ms`;

export const byteLength = (text) => new TextEncoder().encode(text).length;
