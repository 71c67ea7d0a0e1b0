// What the page asks of the browser beside media.

import type { Meeting } from "../model/meeting";
import { texts } from "../model/texts";

export async function copyLink(meeting: Meeting): Promise<void> {
  const link = `${location.origin}${location.pathname}`;
  try {
    await navigator.clipboard.writeText(link);
    meeting.notices.show(texts.linkCopied);
  } catch {
    meeting.notices.show(texts.linkIs(link));
  }
}

export function toggleFullscreen(): void {
  if (document.fullscreenElement === null)
    void document.documentElement.requestFullscreen?.().catch(() => undefined);
  else void document.exitFullscreen().catch(() => undefined);
}

/** Keeps the screen of a phone on while in a meeting; the browser drops this whenever the page is hidden. */
export async function keepAwake(): Promise<void> {
  try {
    if (document.visibilityState === "visible") await navigator.wakeLock?.request("screen");
  } catch {
    // Low battery or not allowed: the screen may go dark.
  }
}

/** Moves the focus along a row of buttons with the arrow keys. */
export function moveAlong(event: KeyboardEvent, row: HTMLElement): void {
  const items = [...row.querySelectorAll<HTMLElement>("button.tool")].filter((b) => b.offsetParent !== null);
  const at = items.indexOf(document.activeElement as HTMLElement);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: items.length - 1 }[event.key];
  if (at < 0 || to === undefined) return;
  event.preventDefault();
  items[(to + items.length) % items.length]?.focus();
}
