// Scene Cuts, Consistency Report, Dataset Builder: what they found, line by line.
import { element } from "./panel.js";

export function showText(panel, lines) {
  panel.replaceChildren(element("pre", "mpvg-text", lines.join("\n")));
}
