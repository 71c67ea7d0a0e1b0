// Starts the page: reads the settings of the deployment, begins to connect, and has the page drawn. What draws is a script of
// its own (page.tsx), asked for at once: it comes while this one connects.

import { LocalMedia } from "../model/local-media";
import { Meeting } from "../model/meeting";
import { SettingsStore } from "../model/settings";
import { collect, type Statistics } from "../model/statistics";
import { texts } from "../model/texts";
import { BoshSocket } from "../protocol/bosh";
import { systemClock } from "../protocol/clock";
import { decodableCodecs } from "../protocol/codec-choice";
import { Conference } from "../protocol/conference";
import { type Embedder, type MeetingConfig, readConfig } from "../protocol/config";
import { randomHex } from "../protocol/ids";
import { type RoomAddress, readPath } from "../protocol/room-names";
import { Transports } from "../protocol/transports";
import { takeEarly } from "./early";
import { playKnock } from "./sounds";
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
const page = import("./page");

function storage(): globalThis.Storage | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined;
  }
}

/** The page that led here, or that shows ours inside its own. */
function embedder(): Embedder {
  const { ancestorOrigins } = location as { ancestorOrigins?: DOMStringList };
  return {
    framed: window.self !== window.top,
    ancestors: ancestorOrigins && [...ancestorOrigins],
    referrer: document.referrer,
  };
}

const ANSWER_TIMEOUT = 8_000;

/** What stands in front of a server that is away answers with 502 to 504. */
async function answers(url: string): Promise<boolean> {
  try {
    const init = { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(ANSWER_TIMEOUT) } as const;
    return (await fetch(url, init)).status < 500;
  } catch {
    return false;
  }
}

/** Begins to connect at once. */
function startMeeting(room: RoomAddress, settings: SettingsStore): Meeting {
  const config: MeetingConfig = readConfig(window.config, location, embedder());
  if (config.displayName !== undefined) settings.forVisit({ name: config.displayName });
  const transports = new Transports({
    clock: systemClock,
    webSocket: (url, protocol) => takeEarly(url) ?? new WebSocket(url, protocol),
    boshUrl: config.boshUrl && new URL(config.boshUrl, location.href).href,
    bosh: (url) =>
      new BoshSocket(url, {
        clock: systemClock,
        fetch: (address, init) => fetch(address, init),
        random: Math.random,
      }),
    answers,
  });
  const media = new LocalMedia(navigator.mediaDevices, settings, config.resolution);
  // Asking the browser for its codecs takes long enough to be left until the connection is under way.
  let codecs: string[] | undefined;
  const meeting = new Meeting({
    roomTitle: room.title,
    roomPath: room.path,
    config,
    clock: systemClock,
    settings,
    media,
    wallClock: Date.now,
    knockSound: playKnock,
    newConference: () =>
      new Conference({
        config,
        roomName: room.name,
        clock: systemClock,
        machineUid: settings.get().machineUid,
        random: Math.random,
        openSocket: transports.open,
        newPeerConnection: (configuration) => new RTCPeerConnection(configuration),
        codecs: () => {
          codecs ??= decodableCodecs(
            config.codecs,
            (RTCRtpReceiver.getCapabilities?.("video")?.codecs ?? []).map((c) => c.mimeType),
          );
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
  return meeting;
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
  window.addEventListener("offline", () => meeting.conference.checkNetwork());
  window.addEventListener("online", () => meeting.conference.networkChanged());
  watchNetworkType(() => meeting.conference.networkChanged());
  document.addEventListener("visibilitychange", () => {
    const visible = document.visibilityState === "visible";
    meeting.reception.setHidden(!visible);
    if (visible) meeting.conference.checkNetwork();
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

/** Tells when the machine went from one kind of network to another, where the browser knows kinds. */
function watchNetworkType(run: () => void): void {
  const { connection } = navigator as Navigator & { connection?: EventTarget & { type?: string } };
  let type = connection?.type;
  connection?.addEventListener("change", () => {
    if (connection.type === type) return;
    type = connection.type;
    run();
  });
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

/** One page for one room: with a slash at its end the address would load the settings of a tenant. */
function goToPlainAddress(): boolean {
  const reading = readPath(location.pathname);
  if (reading.kind !== "room" || location.pathname === `/${reading.room.path}`) return false;
  location.replace(`/${reading.room.path}${location.search}${location.hash}`);
  return true;
}

async function main(): Promise<void> {
  if (goToPlainAddress()) return;
  await settingsLoaded();
  const settings = new SettingsStore(storage(), () => randomHex(32));
  const reading = readPath(location.pathname);
  const able = typeof globalThis.RTCPeerConnection === "function";
  const meeting = reading.kind === "room" && able ? startMeeting(reading.room, settings) : undefined;
  const root = await pageParsed();
  if (root === null) return;
  if (reading.kind === "room" && meeting === undefined) {
    root.textContent = texts.cannotMeet;
    return;
  }
  try {
    const { drawHome, drawMeeting } = await page;
    if (meeting !== undefined) drawMeeting(root, meeting);
    else if (reading.kind !== "room") drawHome(root, settings, reading);
  } catch (error) {
    console.error(error);
    root.textContent = texts.cannotLoad;
  }
}

void main();
