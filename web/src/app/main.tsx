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
import "./style.css";
import "./room.css";
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

function startMeeting(root: HTMLElement, segment: string, settings: SettingsStore): void {
  const config: MeetingConfig = readConfig(window.config, location);
  if (config.displayName !== undefined) settings.change({ name: config.displayName });
  const media = new LocalMedia(navigator.mediaDevices, settings, config.resolution);
  const codecs = decodableCodecs(config.codecs);
  const meeting = new Meeting({
    roomTitle: titleOf(segment),
    config,
    clock: systemClock,
    settings,
    media,
    wallClock: Date.now,
    newConference: () =>
      new Conference({
        config,
        roomName: backendRoomName(segment),
        clock: systemClock,
        machineUid: settings.get().machineUid,
        random: Math.random,
        openSocket: (url, protocol) => new WebSocket(url, protocol),
        newPeerConnection: (configuration) => new RTCPeerConnection(configuration),
        codecs,
      }),
  });
  const { audioOn, videoOn } = settings.get();
  // The connection and the devices start together; neither waits for the other.
  if (config.prejoin) meeting.prepare();
  else meeting.join(settings.get().name);
  void media.start(audioOn && !config.startWithAudioMuted, videoOn && !config.startWithVideoMuted);
  document.title = `${titleOf(segment)} · Pontoon`;
  watch(meeting);
  render(<App meeting={meeting} />, root);
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
    meeting.setHidden(!visible);
    if (visible) meeting.conference.stream.retryNow();
  });
  // Leave at once when the page goes away, rather than as a silent ghost.
  window.addEventListener("pagehide", () => void meeting.conference.leave());
  window.addEventListener("pageshow", (event) => {
    if (event.persisted && meeting.state.get().page === "room") meeting.rejoin();
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

function main(): void {
  const root = document.getElementById("app");
  if (root === null) return;
  const settings = new SettingsStore(storage(), () => randomHex(32));
  const segment = location.pathname.split("/").filter(Boolean).pop();
  if (segment === undefined) {
    render(<HomePage settings={settings} />, root);
  } else if (typeof globalThis.RTCPeerConnection !== "function") {
    root.textContent = "This browser cannot take part in video meetings. Please use a current browser.";
  } else {
    startMeeting(root, segment, settings);
  }
}

main();
