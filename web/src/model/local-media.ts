// The user's microphone, camera and screen: opening, muting, changing and losing them.

import type { LocalTracks } from "../protocol/peer-media";
import { explainDevice } from "./explain";
import { Value } from "./observable";
import type { SettingsStore } from "./settings";

export type DeviceKind = "microphone" | "camera" | "speaker";

export interface DeviceInfo {
  readonly id: string;
  readonly label: string;
}

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
  readonly devices: Readonly<Record<DeviceKind, readonly DeviceInfo[]>>;
}

/** The part of `navigator.mediaDevices` that is used. */
export interface Capture {
  getUserMedia(constraints: MediaStreamConstraints): Promise<MediaStream>;
  getDisplayMedia(constraints: DisplayMediaStreamOptions): Promise<MediaStream>;
  enumerateDevices(): Promise<MediaDeviceInfo[]>;
  addEventListener(type: "devicechange", listener: () => void): void;
}

export class LocalMedia {
  readonly state: Value<LocalMediaState>;
  /** What is sent: tracks that exist and are not muted. */
  readonly tracks: Value<LocalTracks>;
  readonly notices = new Value<string>("");
  private readonly capture: Capture | undefined;
  private readonly settings: SettingsStore;
  private readonly height: number;
  private audioWanted = false;
  private videoWanted = false;

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
      devices: { microphone: [], camera: [], speaker: [] },
    });
    this.state.subscribe(() => this.publish());
    capture?.addEventListener("devicechange", () => void this.refreshDevices());
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

  /** Opens what is wanted, with one question to the user if possible. */
  async start(audio: boolean, video: boolean): Promise<void> {
    this.audioWanted = audio;
    this.videoWanted = video;
    if (this.capture === undefined) {
      this.change({
        audioError: "This page may not use a microphone.",
        videoError: "This page may not use a camera.",
      });
      return;
    }
    if (!audio && !video) {
      await this.refreshDevices();
      return;
    }
    this.change({ audioBusy: audio, videoBusy: video });
    try {
      const stream = await this.capture.getUserMedia({
        ...(audio && { audio: this.audioConstraints() }),
        ...(video && { video: this.videoConstraints() }),
      });
      this.takeAudio(stream.getAudioTracks()[0]);
      this.takeVideo(stream.getVideoTracks()[0]);
    } catch {
      // One of them failed; find out which.
      await Promise.all([audio ? this.openAudio() : undefined, video ? this.openVideo() : undefined]);
      const { audioError, videoError } = this.state.get();
      this.announce(`${audioError} ${videoError}`.trim());
    }
    await this.refreshDevices();
  }

  private audioConstraints(): MediaTrackConstraints {
    const { microphone } = this.settings.get();
    return {
      echoCancellation: true,
      noiseSuppression: true,
      autoGainControl: true,
      ...(microphone !== "" && { deviceId: { ideal: microphone } }),
    };
  }

  private videoConstraints(): MediaTrackConstraints {
    const { camera } = this.settings.get();
    return {
      height: { ideal: this.height },
      width: { ideal: Math.round((this.height * 16) / 9) },
      frameRate: { max: 30, ideal: 30 },
      ...(camera !== "" && { deviceId: { ideal: camera } }),
    };
  }

  private takeAudio(track: MediaStreamTrack | undefined): void {
    if (track === undefined) return;
    this.stop(this.state.get().audioTrack);
    track.onended = () => this.onEnded("microphone", track);
    this.change({ audioTrack: track, audioOn: this.audioWanted, audioBusy: false, audioError: "" });
  }

  private takeVideo(track: MediaStreamTrack | undefined): void {
    if (track === undefined) return;
    if (!this.videoWanted) {
      // Switched off while the camera was starting.
      track.stop();
      this.change({ videoBusy: false });
      return;
    }
    this.stop(this.state.get().videoTrack);
    track.contentHint = "motion";
    track.onended = () => this.onEnded("camera", track);
    this.change({ videoTrack: track, videoOn: true, videoBusy: false, videoError: "" });
  }

  private stop(track: MediaStreamTrack | null): void {
    if (track === null) return;
    track.onended = null;
    track.stop();
  }

  private async openAudio(): Promise<void> {
    if (this.capture === undefined) return;
    this.change({ audioBusy: true });
    try {
      const stream = await this.capture.getUserMedia({ audio: this.audioConstraints() });
      this.takeAudio(stream.getAudioTracks()[0]);
    } catch (error) {
      const audioError = explainDevice("microphone", error);
      this.change({ audioBusy: false, audioOn: false, audioTrack: null, audioError });
    }
  }

  private async openVideo(): Promise<void> {
    if (this.capture === undefined) return;
    this.change({ videoBusy: true });
    try {
      const stream = await this.capture.getUserMedia({ video: this.videoConstraints() });
      this.takeVideo(stream.getVideoTracks()[0]);
    } catch (error) {
      const videoError = explainDevice("camera", error);
      this.change({ videoBusy: false, videoOn: false, videoTrack: null, videoError });
    }
  }

  /** Mutes or unmutes; a muted microphone stays open so that unmuting is immediate. */
  async setAudio(on: boolean, remember = true): Promise<void> {
    this.audioWanted = on;
    if (remember) this.settings.change({ audioOn: on });
    const { audioTrack } = this.state.get();
    if (audioTrack !== null) this.change({ audioOn: on });
    else if (on) {
      await this.openAudio();
      this.announce(this.state.get().audioError);
      await this.refreshDevices();
    }
  }

  /** Starts the camera, or switches it off so that its light goes out. */
  async setVideo(on: boolean, remember = true): Promise<void> {
    this.videoWanted = on;
    if (remember) this.settings.change({ videoOn: on });
    const { videoTrack, videoBusy } = this.state.get();
    if (!on) {
      this.stop(videoTrack);
      this.change({ videoOn: false, videoTrack: null });
    } else if (videoTrack === null && !videoBusy) {
      await this.openVideo();
      this.announce(this.state.get().videoError);
      await this.refreshDevices();
    }
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
      const name = error instanceof Error ? error.name : "";
      if (name !== "NotAllowedError") this.announce(explainDevice("screen", error));
    }
  }

  stopScreen(): void {
    this.stop(this.state.get().screenTrack);
    this.change({ screenTrack: null, screenOn: false });
  }

  async select(kind: DeviceKind, id: string): Promise<void> {
    if (kind === "speaker") {
      this.settings.change({ speaker: id });
      this.state.update((s) => ({ ...s }));
    } else if (kind === "microphone") {
      this.settings.change({ microphone: id });
      if (this.state.get().audioTrack !== null) await this.openAudio();
    } else {
      this.settings.change({ camera: id });
      if (this.state.get().videoOn) {
        this.stop(this.state.get().videoTrack);
        await this.openVideo();
      }
    }
  }

  selected(kind: DeviceKind): string {
    const settings = this.settings.get();
    if (kind === "speaker") return settings.speaker;
    const { audioTrack, videoTrack } = this.state.get();
    const track = kind === "microphone" ? audioTrack : videoTrack;
    return track?.getSettings().deviceId ?? settings[kind];
  }

  /** Ends everything, when the user leaves. */
  stopAll(): void {
    const { audioTrack, videoTrack, screenTrack } = this.state.get();
    for (const track of [audioTrack, videoTrack, screenTrack]) this.stop(track);
    this.change({
      audioTrack: null,
      videoTrack: null,
      screenTrack: null,
      audioOn: false,
      videoOn: false,
      screenOn: false,
    });
  }

  /** A device was pulled out or taken away: go on with another one, or without. */
  private onEnded(kind: "microphone" | "camera", track: MediaStreamTrack): void {
    const state = this.state.get();
    if (kind === "microphone" && state.audioTrack === track) {
      this.change({ audioTrack: null, audioOn: false });
      this.announce("Your microphone was disconnected.");
      if (this.audioWanted) void this.openAudio();
    } else if (kind === "camera" && state.videoTrack === track) {
      this.change({ videoTrack: null, videoOn: false });
      this.announce("Your camera was disconnected.");
      if (this.videoWanted) void this.openVideo();
    }
  }

  private announce(sentence: string): void {
    if (sentence === "") return;
    this.notices.set("");
    this.notices.set(sentence);
  }

  private async refreshDevices(): Promise<void> {
    if (this.capture === undefined) return;
    try {
      const all = await this.capture.enumerateDevices();
      const list = (kind: MediaDeviceKind, fallback: string): DeviceInfo[] =>
        all
          .filter((d) => d.kind === kind && d.deviceId !== "")
          .map((d, index) => ({ id: d.deviceId, label: d.label || `${fallback} ${index + 1}` }));
      this.change({
        devices: {
          microphone: list("audioinput", "Microphone"),
          camera: list("videoinput", "Camera"),
          speaker: list("audiooutput", "Speaker"),
        },
      });
    } catch {
      // Without the list there is nothing to choose from.
    }
  }
}
