// The few words the panels say by themselves, in the page's language.
import { app } from "../../scripts/app.js";

const WORDS = {
  en: {
    nothing: "remembers nothing: no shot before it",
    serves: "serves",
    remembers: "remembers",
    take: "take",
    "no take": "no take",
    reused: "there already",
    locked: "locked",
    kept: "kept from the last film",
    "left out": "left out",
  },
  zh: {
    nothing: "没有可回忆的内容：之前没有镜头",
    serves: "对应",
    remembers: "回忆",
    take: "镜次",
    "no take": "没有镜次",
    reused: "已有",
    locked: "已锁定",
    kept: "沿用上一部影片",
    "left out": "已略过",
  },
};

export function say(key) {
  const locale = app.extensionManager?.setting?.get("Comfy.Locale") ?? "en";
  return (WORDS[locale.split("-")[0]] ?? WORDS.en)[key] ?? key;
}
