// What the page asks of the browser beside media.

import type { Meeting } from "../model/meeting";

export async function copyLink(meeting: Meeting): Promise<void> {
  const link = `${location.origin}${location.pathname}`;
  try {
    await navigator.clipboard.writeText(link);
    meeting.notify("The link was copied.");
  } catch {
    meeting.notify(`The link is ${link}`);
  }
}

export function toggleFullscreen(): void {
  if (document.fullscreenElement === null)
    void document.documentElement.requestFullscreen?.().catch(() => undefined);
  else void document.exitFullscreen().catch(() => undefined);
}
