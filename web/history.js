// Prompt History: a strip of the past shots, each with its prompt.
import { element, picture } from "./panel.js";

export function showHistory(panel, shots) {
  const strip = element("div", "mpvg-strip");
  for (const shot of shots) {
    const card = element("div", "mpvg-card");
    card.append(picture(shot.picture, "mpvg-picture"), element("div", "mpvg-faint", shot.name));
    card.append(element("div", "", shot.prompt));
    strip.append(card);
  }
  panel.replaceChildren(strip);
}
