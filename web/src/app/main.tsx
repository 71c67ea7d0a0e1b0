// Starts the page: reads the settings of the deployment, begins to connect, then draws.

import { render } from "preact";
import { LocalMedia } from "../model/local-media";
import { Meeting } from "../model/meeting";
import { SettingsStore } from "../model/settings";
import { collect, type Statistics } from "../model/statistics";
import { systemClock } from "../protocol/clock";
import { Conference } from "../protocol/conference";
import { type MeetingConfig, readConfig } from "../protocol/config";
import { backendRoomName, randomHex } from "../protocol/ids";
import { App } from "./app";
import { HomePage } from "./components/pages";
import roomStyle from "./room.css?inline";
import { playKnock } from "./sounds";
import pageStyle from "./style.css?inline";
import { timings } from "./timings";

/** For tests and for looking into a meeting from the console. */
interface DebugHandle {
  readonly meeting: Meeting;
  readonly timings: () => ReturnType<typeof timings.get>;
  readonly stats: () => Promise<Statistics>;
  readonly state: () => Readonly<Record<string, unknown>>;
}

declare global {
  interface Window {
    pontoon?: DebugHandle;
    config?: unknown;
  }
}

timings.mark("scriptStarted");

function storage(): globalThis.Storage | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined;
  }
}

function decodableCodecs(preferred: readonly string[]): string[] {
  const capabilities = globalThis.RTCRtpReceiver?.getCapabilities?.("video")?.codecs ?? [];
  const known = new Set(capabilities.map((c) => c.mimeType.toLowerCase().replace("video/", "")));
  return preferred.filter((c) => known.has(c));
}

function titleOf(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** Begins to connect at once; returns what draws the page when there is one to draw on. */
function startMeeting(segment: string, settings: SettingsStore): (root: HTMLElement) => void {
  const config: MeetingConfig = readConfig(window.config, location);
  if (config.displayName !== undefined) settings.change({ name: config.displayName });
  const media = new LocalMedia(navigator.mediaDevices, settings, config.resolution);
  // Asking the browser for its codecs takes long enough to be left until the connection is under way.
  let codecs: string[] | undefined;
  const meeting = new Meeting({
    roomTitle: titleOf(segment),
    config,
    clock: systemClock,
    settings,
    media,
    wallClock: Date.now,
    knockSound: playKnock,
    newConference: () =>
      new Conference({
        config,
        roomName: backendRoomName(segment),
        clock: systemClock,
        machineUid: settings.get().machineUid,
        random: Math.random,
        openSocket: (url, protocol) => new WebSocket(url, protocol),
        newPeerConnection: (configuration) => new RTCPeerConnection(configuration),
        codecs: () => {
          codecs ??= decodableCodecs(config.codecs);
          return codecs;
        },
      }),
  });
  const { audioOn, videoOn } = settings.get();
  // The connection and the devices start together; neither waits for the other.
  if (config.prejoin) meeting.entry.prepare();
  else meeting.entry.join(settings.get().name);
  void media.start(audioOn && !config.startWithAudioMuted, videoOn && !config.startWithVideoMuted);
  watch(meeting);
  return (root) => {
    document.title = `${titleOf(segment)} · Pontoon`;
    render(<App meeting={meeting} />, root);
  };
}

/** Reacts to the browser: network changes, a hidden or closing page. Also offers the debugging handle. */
function watch(meeting: Meeting): void {
  meeting.state.subscribe(() => {
    const { connection, media } = meeting.state.get();
    if (connection === "joined") timings.mark("joined");
    if (media === "connecting") timings.mark("offered");
    if (media === "connected") timings.mark("mediaConnected");
  });
  meeting.conference.stream.on("online", () => timings.mark("online"));
  window.addEventListener("online", () => meeting.conference.stream.retryNow());
  document.addEventListener("visibilitychange", () => {
    const visible = document.visibilityState === "visible";
    meeting.reception.setHidden(!visible);
    if (visible) meeting.conference.stream.retryNow();
  });
  // Leave at once when the page goes away, rather than as a silent ghost.
  window.addEventListener("pagehide", () => void meeting.conference.leave());
  window.addEventListener("pageshow", (event) => {
    if (event.persisted && meeting.state.get().page === "room") meeting.entry.rejoin();
  });
  window.pontoon = {
    meeting,
    timings: () => timings.get(),
    stats: () => collect(meeting.conference),
    state: () => {
      const { page, connection, media, peer, people, stage, speaker, moderator, locked } =
        meeting.state.get();
      return { page, connection, media, peer, people: people.length, stage, speaker, moderator, locked };
    },
  };
}

/** The script does not wait for the page: it runs as soon as it is here, perhaps before the settings are. */
function settingsLoaded(): Promise<void> {
  const script = document.querySelector<HTMLScriptElement>('script[src="config.js"]');
  if (script === null || window.config !== undefined || document.readyState !== "loading")
    return Promise.resolve();
  return new Promise((resolve) => {
    script.addEventListener("load", () => resolve());
    script.addEventListener("error", () => resolve());
    document.addEventListener("DOMContentLoaded", () => resolve());
  });
}

function pageParsed(): Promise<HTMLElement | null> {
  const find = (): HTMLElement | null => document.getElementById("app");
  if (document.readyState !== "loading") return Promise.resolve(find());
  return new Promise((resolve) => {
    document.addEventListener("DOMContentLoaded", () => resolve(find()));
  });
}

async function main(): Promise<void> {
  await settingsLoaded();
  const settings = new SettingsStore(storage(), () => randomHex(32));
  const segment = location.pathname.split("/").filter(Boolean).pop();
  const able = typeof globalThis.RTCPeerConnection === "function";
  const draw = segment !== undefined && able ? startMeeting(segment, settings) : undefined;
  const style = document.createElement("style");
  style.textContent = pageStyle + roomStyle;
  document.head.append(style);
  const root = await pageParsed();
  if (root === null) return;
  if (draw !== undefined) draw(root);
  else if (segment === undefined) render(<HomePage settings={settings} />, root);
  else root.textContent = "This browser cannot take part in video meetings. Please use a current browser.";
}

void main();
