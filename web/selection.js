// Token Selector: the prompt, and under it every past prompt with the kept words marked and what they serve.
import { element, picture } from "./panel.js";
import { say } from "./words.js";

const WORD_START = "\u2581"; // of a SentencePiece piece; vocabularies of whole words do without

export function showSelection(panel, [found]) {
  panel.replaceChildren(element("div", "mpvg-faint", found.prompt));
  if (found.note) panel.append(element("div", "", found.note));
  else if (!found.shots.length) panel.append(element("div", "", say("nothing")));
  for (const shot of found.shots) {
    const row = element("div", "mpvg-row");
    const text = element("div");
    text.append(element("div", "mpvg-faint", shot.name));
    const parted = shot.words.some((word) => word.piece.startsWith(WORD_START));
    for (const word of shot.words) text.append(...piece(word, parted));
    row.append(picture(shot.picture, "mpvg-picture"), text);
    panel.append(row);
  }
}

function piece(word, parted) {
  const gap = !parted || word.piece.startsWith(WORD_START) ? " " : "";
  const plain = word.piece.replaceAll(WORD_START, "");
  if (word.serves === null) return [gap, element("span", "mpvg-faint", plain)];
  const kept = element("span", "mpvg-kept", plain);
  const serves = word.serves.replaceAll(WORD_START, "");
  if (serves.toLowerCase() !== plain.toLowerCase()) kept.append(element("sub", "", `\u2192 ${serves}`));
  kept.title = `${say("serves")} ${serves}`;
  return [gap, kept];
}
