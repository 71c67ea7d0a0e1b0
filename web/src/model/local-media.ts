// The user's microphone, camera and screen: opening, muting, choosing, losing and finding them again.

import type { LocalTracks } from "../protocol/peer-media";
import {
  added,
  type Change,
  DEVICE_KINDS,
  type DeviceKind,
  type DeviceLists,
  INPUT_KINDS,
  type InputKind,
  isEmpty,
  listDevices,
  NO_DEVICES,
  namesOf,
} from "./devices";
import { explainDevice } from "./explain";
import { Value } from "./observable";
import type { SettingsStore } from "./settings";
import { texts } from "./texts";

export interface LocalMediaState {
  readonly audioOn: boolean;
  readonly videoOn: boolean;
  readonly screenOn: boolean;
  readonly audioBusy: boolean;
  readonly videoBusy: boolean;
  /** Why the microphone or camera is not available, in a sentence. */
  readonly audioError: string;
  readonly videoError: string;
  readonly audioTrack: MediaStreamTrack | null;
  readonly videoTrack: MediaStreamTrack | null;
  readonly screenTrack: MediaStreamTrack | null;
  readonly devices: DeviceLists;
  /** Where the sound goes; empty is where the system sends it. */
  readonly speaker: string;
}

/** The part of `navigator.mediaDevices` that is used. */
export interface Capture {
  getUserMedia(constraints: MediaStreamConstraints): Promise<MediaStream>;
  getDisplayMedia(constraints: DisplayMediaStreamOptions): Promise<MediaStream>;
  enumerateDevices(): Promise<MediaDeviceInfo[]>;
  addEventListener(type: "devicechange", listener: () => void): void;
}

/** Something to tell the user about devices. */
export interface DeviceNews {
  /** News about the same replace each other. */
  readonly key: string;
  /** Empty: what was told under this key is no longer true. */
  readonly text: string;
  readonly important: boolean;
  /** Also stands in `audioError` or `videoError`. */
  readonly isError: boolean;
  readonly offer?: { readonly label: string; readonly run: () => void };
}

/** One kind of input: what the user wants, and the work on it, one thing after the other. */
interface Input {
  wanted: boolean;
  work: Promise<void>;
}

interface Fields {
  readonly on: boolean;
  readonly busy: boolean;
  readonly error: string;
  readonly track: MediaStreamTrack | null;
}

const PREFIX = { microphone: "audio", camera: "video" } as const;
const PLUGGED = "device-plugged";

export class LocalMedia {
  readonly state: Value<LocalMediaState>;
  /** What is sent: tracks that exist and are not muted. */
  readonly tracks: Value<LocalTracks>;
  readonly news = new Value<DeviceNews | undefined>(undefined);
  private readonly capture: Capture | undefined;
  private readonly settings: SettingsStore;
  private readonly height: number;
  private readonly inputs: Readonly<Record<InputKind, Input>> = {
    microphone: { wanted: false, work: Promise.resolve() },
    camera: { wanted: false, work: Promise.resolve() },
  };
  /** Why an input could not be opened. */
  private readonly causes = new Map<InputKind, unknown>();
  /** Grows when everything is stopped: what was asked for before is not wanted any more. */
  private generation = 0;

  /** @param capture undefined where the page may not capture at all */
  constructor(capture: Capture | undefined, settings: SettingsStore, height: number) {
    this.capture = capture;
    this.settings = settings;
    this.height = height;
    this.tracks = new Value<LocalTracks>({ audio: null, video: null, desktop: null });
    this.state = new Value<LocalMediaState>({
      audioOn: false,
      videoOn: false,
      screenOn: false,
      audioBusy: false,
      videoBusy: false,
      audioError: "",
      videoError: "",
      audioTrack: null,
      videoTrack: null,
      screenTrack: null,
      devices: NO_DEVICES,
      speaker: settings.get().speaker,
    });
    this.state.subscribe(() => this.publish());
    capture?.addEventListener("devicechange", () => void this.refreshDevices(true));
  }

  private publish(): void {
    const s = this.state.get();
    const next: LocalTracks = {
      audio: s.audioOn ? s.audioTrack : null,
      video: s.videoOn ? s.videoTrack : null,
      desktop: s.screenOn ? s.screenTrack : null,
    };
    const now = this.tracks.get();
    if (now.audio === next.audio && now.video === next.video && now.desktop === next.desktop) return;
    this.tracks.set(next);
  }

  private change(change: Partial<LocalMediaState>): void {
    this.state.update((s) => ({ ...s, ...change }));
  }

  private get(kind: InputKind): Fields {
    const s = this.state.get();
    return kind === "microphone"
      ? { on: s.audioOn, busy: s.audioBusy, error: s.audioError, track: s.audioTrack }
      : { on: s.videoOn, busy: s.videoBusy, error: s.videoError, track: s.videoTrack };
  }

  private set(kind: InputKind, change: Partial<Fields>): void {
    const prefix = PREFIX[kind];
    const named = Object.entries(change).map(([key, value]) => [
      `${prefix}${key.charAt(0).toUpperCase()}${key.slice(1)}`,
      value,
    ]);
    this.change(Object.fromEntries(named) as Partial<LocalMediaState>);
  }

  /** Does one thing after the other; what is still to be done when everything is stopped is left out. */
  private enqueue(kinds: readonly InputKind[], task: () => Promise<void>): Promise<void> {
    const { generation } = this;
    const before = Promise.all(kinds.map((kind) => this.inputs[kind].work));
    const work = before.then(() => (generation === this.generation ? task() : undefined));
    for (const kind of kinds) this.inputs[kind].work = work;
    return work;
  }

  // --- opening ------------------------------------------------------------------------------

  /** Opens what is wanted, with one question to the user if possible. */
  async start(audio: boolean, video: boolean): Promise<void> {
    const { microphone, camera } = this.inputs;
    microphone.wanted = audio;
    camera.wanted = video;
    if (this.capture === undefined) {
      this.change({ audioError: texts.devices.noMicrophoneHere, videoError: texts.devices.noCameraHere });
      return;
    }
    if (audio && video) {
      void this.enqueue(INPUT_KINDS, () => this.openBoth());
    } else {
      for (const kind of INPUT_KINDS) void this.settle(kind);
    }
    await Promise.all([microphone.work, camera.work]);
    this.tell({ key: "device-error", text: this.problem, important: true, isError: true });
    await this.refreshDevices();
  }

  /** What is wrong with microphone and camera, in a sentence if it is the same; empty if nothing is. */
  get problem(): string {
    const { audioError, videoError } = this.state.get();
    const both = audioError !== "" && videoError !== "" && isSame(this.causes);
    if (both) return explainDevice("both", this.causes.get("camera"));
    return [audioError, videoError].filter((text) => text !== "").join(" ");
  }

  private async openBoth(): Promise<void> {
    const { generation } = this;
    this.change({ audioBusy: true, videoBusy: true });
    let stream: MediaStream;
    try {
      stream = await this.ask({
        audio: this.constraints("microphone", this.settings.get().microphone),
        video: this.constraints("camera", this.settings.get().camera),
      });
    } catch {
      // One of them failed; find out which.
      await Promise.all(INPUT_KINDS.map((kind) => this.open(kind)));
      return;
    }
    this.take("microphone", stream.getAudioTracks()[0], generation);
    this.take("camera", stream.getVideoTracks()[0], generation);
  }

  private ask(constraints: MediaStreamConstraints): Promise<MediaStream> {
    if (this.capture === undefined) throw new DOMException("", "NotFoundError");
    return this.capture.getUserMedia(constraints);
  }

  /** @param id the device and no other; empty for what the system chooses */
  private constraints(kind: InputKind, id: string): MediaTrackConstraints {
    const device = id === "" ? {} : { deviceId: { exact: id } };
    if (kind === "microphone")
      return { echoCancellation: true, noiseSuppression: true, autoGainControl: true, ...device };
    return {
      height: { ideal: this.height },
      width: { ideal: Math.round((this.height * 16) / 9) },
      frameRate: { max: 30, ideal: 30 },
      ...device,
    };
  }

  private async track(kind: InputKind, id: string): Promise<MediaStreamTrack | undefined> {
    const constraints = this.constraints(kind, id);
    if (kind === "microphone") return (await this.ask({ audio: constraints })).getAudioTracks()[0];
    return (await this.ask({ video: constraints })).getVideoTracks()[0];
  }

  /** Opens an input that has no track yet, if it is wanted. */
  private settle(kind: InputKind): Promise<void> {
    return this.enqueue([kind], async () => {
      if (this.inputs[kind].wanted && this.get(kind).track === null) await this.open(kind);
    });
  }

  /** Opens the chosen device, or the system's when that is not there. */
  private async open(kind: InputKind): Promise<void> {
    const { generation } = this;
    this.set(kind, { busy: true });
    try {
      const chosen = this.settings.get()[kind];
      let track: MediaStreamTrack | undefined;
      try {
        track = await this.track(kind, chosen);
      } catch (error) {
        if (chosen === "" || !isMissing(error)) throw error;
        track = await this.track(kind, "");
      }
      this.take(kind, track, generation);
    } catch (error) {
      this.causes.set(kind, error);
      this.set(kind, { busy: false, on: false, track: null, error: explainDevice(kind, error) });
    }
  }

  private take(kind: InputKind, track: MediaStreamTrack | undefined, generation: number): void {
    const { wanted } = this.inputs[kind];
    // Switched off while it was starting. A muted microphone stays open, so that unmuting is immediate.
    const late = generation !== this.generation || (kind === "camera" && !wanted);
    if (track === undefined || late) {
      track?.stop();
      this.set(kind, { busy: false });
      return;
    }
    this.stop(this.get(kind).track);
    if (kind === "camera") track.contentHint = "motion";
    track.onended = () => this.onLost(kind, track);
    this.set(kind, { track, on: wanted, busy: false, error: "" });
  }

  private stop(track: MediaStreamTrack | null): void {
    if (track === null) return;
    track.onended = null;
    track.stop();
  }

  // --- on and off ---------------------------------------------------------------------------

  /** Mutes or unmutes; a muted microphone stays open so that unmuting is immediate. */
  async setAudio(on: boolean, remember = true): Promise<void> {
    this.inputs.microphone.wanted = on;
    if (remember) this.settings.change({ audioOn: on });
    if (this.get("microphone").track !== null) this.set("microphone", { on });
    else if (on) await this.switchOn("microphone");
  }

  /** Starts the camera, or switches it off so that its light goes out. */
  async setVideo(on: boolean, remember = true): Promise<void> {
    this.inputs.camera.wanted = on;
    if (remember) this.settings.change({ videoOn: on });
    if (on) {
      await this.switchOn("camera");
    } else {
      this.stop(this.get("camera").track);
      this.set("camera", { on: false, track: null });
    }
  }

  private async switchOn(kind: InputKind): Promise<void> {
    if (this.get(kind).track !== null) return;
    await this.settle(kind);
    this.tell({ key: "device-error", text: this.get(kind).error, important: true, isError: true });
    await this.refreshDevices();
  }

  async startScreen(): Promise<void> {
    if (this.capture === undefined || this.state.get().screenOn) return;
    try {
      const stream = await this.capture.getDisplayMedia({ video: { frameRate: { max: 15 } }, audio: false });
      const track = stream.getVideoTracks()[0];
      if (track === undefined) return;
      track.contentHint = "detail";
      track.onended = () => this.stopScreen();
      this.change({ screenTrack: track, screenOn: true });
    } catch (error) {
      // Changing one's mind in the browser's dialog is no error.
      if (nameOf(error) === "NotAllowedError") return;
      this.tell({
        key: "screen-error",
        text: explainDevice("screen", error),
        important: true,
        isError: true,
      });
    }
  }

  stopScreen(): void {
    this.stop(this.state.get().screenTrack);
    this.change({ screenTrack: null, screenOn: false });
  }

  /** Ends everything, when the user leaves. */
  stopAll(): void {
    this.generation += 1;
    for (const kind of INPUT_KINDS) {
      this.inputs[kind].wanted = false;
      this.stop(this.get(kind).track);
      this.set(kind, { track: null, on: false });
    }
    this.stopScreen();
  }

  // --- choosing -----------------------------------------------------------------------------

  /** Takes another device, at once if the old one is in use. */
  async select(kind: DeviceKind, id: string): Promise<void> {
    this.forget(PLUGGED);
    if (kind === "speaker") {
      this.settings.change({ speaker: id });
      this.change({ speaker: id });
      return;
    }
    const before = this.settings.get()[kind];
    this.settings.change({ [kind]: id });
    // The list shows the choice also while nothing is open.
    this.state.update((s) => ({ ...s }));
    await this.enqueue([kind], () => this.exchange(kind, before));
  }

  private async exchange(kind: InputKind, before: string): Promise<void> {
    const old = this.get(kind).track;
    const id = this.settings.get()[kind];
    if (old === null || (id !== "" && old.getSettings().deviceId === id)) return;
    const { generation } = this;
    this.set(kind, { busy: true });
    try {
      this.take(kind, await this.trackBeside(kind, id, old), generation);
    } catch (error) {
      if (this.settings.get()[kind] === id) this.settings.change({ [kind]: before });
      const label = this.labelOf(kind, id);
      const text = texts.devices.notUsed(label, explainDevice(kind, error));
      this.tell({ key: `device-${kind}`, text, important: true, isError: false });
      this.set(kind, { busy: false });
      if (old.readyState === "ended") await this.open(kind);
    }
  }

  /** Opens a device while another is open; where only one can be, gives that one up. */
  private async trackBeside(
    kind: InputKind,
    id: string,
    old: MediaStreamTrack,
  ): Promise<MediaStreamTrack | undefined> {
    try {
      return await this.track(kind, id);
    } catch (error) {
      if (!isTaken(error)) throw error;
      this.stop(old);
      return await this.track(kind, id);
    }
  }

  /** The device in use, else the one that would be. */
  selected(kind: DeviceKind): string {
    if (kind === "speaker") return this.state.get().speaker;
    return this.get(kind).track?.getSettings().deviceId ?? this.settings.get()[kind];
  }

  /** The browser refused to play over the chosen speaker. */
  speakerFailed(id: string): void {
    if (id === "" || this.state.get().speaker !== id) return;
    this.change({ speaker: "" });
    const text = texts.devices.speakerGone(this.labelOf("speaker", id));
    this.tell({ key: "device-speaker", text, important: true, isError: false });
  }

  private labelOf(kind: DeviceKind, id: string): string {
    return this.state.get().devices[kind].find((d) => d.id === id)?.label ?? texts.devices.kinds[kind];
  }

  // --- losing and finding -------------------------------------------------------------------

  /** A device was pulled out or taken away: go on with what the system has, or without. */
  private onLost(kind: InputKind, track: MediaStreamTrack): void {
    if (this.get(kind).track !== track) return;
    track.onended = null;
    const label = track.label || texts.devices.kinds[kind];
    this.set(kind, { track: null, on: false });
    void this.enqueue([kind], async () => {
      if (this.inputs[kind].wanted && this.get(kind).track === null) await this.open(kind);
      const { track: next, error } = this.get(kind);
      const text =
        next !== null
          ? texts.devices.replaced(label, next.label)
          : this.inputs[kind].wanted
            ? texts.devices.lostForGood(label, kind, error)
            : texts.devices.lost(label);
      this.tell({ key: `device-${kind}`, text, important: true, isError: false });
    });
  }

  private onDevices(before: DeviceLists, now: DeviceLists): void {
    for (const kind of INPUT_KINDS) {
      const { track } = this.get(kind);
      const id = track?.getSettings().deviceId ?? "";
      // Not every browser ends the track of a device that is gone.
      if (track !== null && has(before, kind, id) && !has(now, kind, id)) this.onLost(kind, track);
    }
    const fresh = added(before, now);
    if (added(now, before).length > 0) this.forget(PLUGGED);
    // A first list says nothing about what was there before.
    if (isEmpty(before)) this.openWaiting(fresh);
    else this.onPlugged(fresh);
  }

  private checkSpeaker(before: DeviceLists, now: DeviceLists): void {
    const { speaker } = this.state.get();
    if (speaker === "" || now.speaker.length === 0 || has(now, "speaker", speaker)) return;
    const label = before.speaker.find((d) => d.id === speaker)?.label;
    this.change({ speaker: "" });
    // One that was chosen at an earlier visit and is not here today is no news.
    if (label === undefined) return;
    const text = texts.devices.speakerGone(label);
    this.tell({ key: "device-speaker", text, important: true, isError: false });
  }

  /** Opens what was wanted and not there. Returns the kinds that had to wait for a device. */
  private openWaiting(fresh: readonly Change[]): ReadonlySet<DeviceKind> {
    const waiting = INPUT_KINDS.filter(
      (kind) =>
        this.inputs[kind].wanted &&
        this.get(kind).track === null &&
        !this.get(kind).busy &&
        fresh.some((d) => d.kind === kind),
    );
    for (const kind of waiting) {
      void this.settle(kind).then(() => {
        const { track } = this.get(kind);
        if (track === null) return;
        this.tell({
          key: `device-${kind}`,
          text: texts.devices.used(track.label),
          important: false,
          isError: false,
        });
      });
    }
    return new Set(waiting);
  }

  /** Something was plugged in: used where nothing was, else offered. */
  private onPlugged(fresh: readonly Change[]): void {
    const taken = this.openWaiting(fresh);
    const offered = fresh.filter((d) => !taken.has(d.kind));
    if (offered.length === 0) return;
    const wasChosen = offered.some((d) => this.settings.get()[d.kind] === d.id);
    const names = namesOf(offered);
    this.tell({
      key: PLUGGED,
      text: wasChosen ? texts.devices.back(names) : texts.devices.plugged(names),
      important: false,
      isError: false,
      offer: {
        label: texts.devices.use,
        run: () => {
          for (const kind of DEVICE_KINDS) {
            const device = offered.find((d) => d.kind === kind);
            if (device !== undefined) void this.select(kind, device.id);
          }
        },
      },
    });
  }

  private tell(news: DeviceNews): void {
    if (news.text !== "") this.news.set(news);
  }

  private forget(key: string): void {
    this.news.set({ key, text: "", important: false, isError: false });
  }

  /** @param changed the browser said that something was plugged in or pulled out */
  private async refreshDevices(changed = false): Promise<void> {
    if (this.capture === undefined) return;
    try {
      const all = await this.capture.enumerateDevices();
      const before = this.state.get().devices;
      const devices = listDevices(all, texts.devices.nameless);
      this.change({ devices });
      this.checkSpeaker(before, devices);
      if (changed) this.onDevices(before, devices);
    } catch {
      // Without the list there is nothing to choose from.
    }
  }
}

function has(lists: DeviceLists, kind: DeviceKind, id: string): boolean {
  return lists[kind].some((d) => d.id === id);
}

/** Both inputs were refused for one reason. */
function isSame(causes: ReadonlyMap<InputKind, unknown>): boolean {
  const [a, b] = INPUT_KINDS.map((kind) => causes.get(kind));
  return nameOf(a) !== "" && String(a) === String(b) && !isMissing(a);
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : "";
}

/** The device that was asked for is not there. */
function isMissing(error: unknown): boolean {
  return ["OverconstrainedError", "NotFoundError"].includes(nameOf(error));
}

/** The device cannot be opened now, perhaps because another one is open. */
function isTaken(error: unknown): boolean {
  return ["NotReadableError", "AbortError"].includes(nameOf(error));
}
