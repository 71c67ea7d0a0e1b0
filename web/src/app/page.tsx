// Draws the page: all that is seen of it is in this script.

import { render } from "preact";
import type { Meeting } from "../model/meeting";
import type { SettingsStore } from "../model/settings";
import type { Reading } from "../protocol/room-names";
import { App } from "./app";
import { HomePage } from "./components/pages";
import { Toasts } from "./components/toast";
import { placeToasts } from "./covers";
import overlayStyle from "./overlay.css?inline";
import roomStyle from "./room.css?inline";
import pageStyle from "./style.css?inline";

const style = document.createElement("style");
style.textContent = pageStyle + overlayStyle + roomStyle;
document.head.append(style);

/** The page of a meeting. */
export function drawMeeting(root: HTMLElement, meeting: Meeting): void {
  document.title = `${meeting.options.roomTitle} · Pontoon`;
  render(<App meeting={meeting} />, root);
  // Apart from the page: it comes along into what covers the page.
  const toasts = document.createElement("div");
  render(<Toasts notices={meeting.notices} />, toasts);
  placeToasts(toasts);
}

/** The page without a meeting. */
export function drawHome(root: HTMLElement, settings: SettingsStore, address: Reading): void {
  render(<HomePage settings={settings} address={address} />, root);
}
