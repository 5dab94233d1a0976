// Film Storyboard: the film as it appears, a row a shot, each with its clip, what it remembers and what is to be noted.
import { address, element } from "./panel.js";
import { say } from "./words.js";

export function showTakes(panel, cards) {
  for (const card of cards) {
    if (panel.dataset.of !== String(card.of)) panel.replaceChildren(); // another film
    panel.dataset.of = card.of;
    const row = rowOf(card);
    const rows = [...panel.children];
    const same = rows.find((there) => there.dataset.number === row.dataset.number);
    const next = rows.find((there) => Number(there.dataset.number) > card.number);
    if (same) same.replaceWith(row);
    else panel.insertBefore(row, next ?? null);
  }
}

function rowOf(card) {
  const row = element("div", "mpvg-row");
  row.dataset.number = card.number;
  if (card.clip) row.append(clip(card.clip));
  const text = element("div");
  text.append(element("div", "", `${card.number}  ${card.prompt}`));
  const memories = card.remembers.map((memory) => `${memory.shot}: ${memory.words.replaceAll("\u2581", "")}`);
  text.append(element("div", "mpvg-faint", memories.length ? `${say("remembers")} ${memories.join("; ")}` : ""));
  const take = card.take ? `${say("take")} ${card.take}` : say("no take");
  text.append(element("div", "mpvg-faint", card.action === "film" ? take : `${take}, ${say(card.action)}`));
  for (const note of card.notes ?? []) text.append(element("div", "mpvg-note", note));
  row.append(text);
  return row;
}

function clip(file) {
  const video = element("video", "mpvg-picture");
  Object.assign(video, { src: address(file), muted: true, loop: true, autoplay: true, playsInline: true });
  return video;
}
