// What the user does with their own microphone, camera, screen, hand and name.

import type { MeetingConfig } from "../protocol/config";
import type { Link } from "./link";
import type { LocalMedia } from "./local-media";
import type { Notices } from "./notices";
import { Value } from "./observable";
import type { SettingsStore } from "./settings";
import { texts } from "./texts";

export interface OwnState {
  readonly handRaised: boolean;
  readonly talking: boolean;
}

export interface OwnOptions {
  readonly link: Link;
  readonly media: LocalMedia;
  readonly settings: SettingsStore;
  readonly notices: Notices;
  readonly config: MeetingConfig;
  readonly nameOf: (id: string) => string;
}

export class Own {
  readonly state = new Value<OwnState>({ handRaised: false, talking: false });
  private readonly options: OwnOptions;
  private audioBeforeTalk = false;

  constructor(options: OwnOptions) {
    this.options = options;
    const { link, media } = options;
    media.tracks.subscribe(() => link.conference.setTracks(media.tracks.get()));
    link.on("mutedByModerator", ({ media: kind, actor }) => this.onMuted(kind, actor));
    link.on("state", (state) => state === "joined" && this.onJoined());
    link.onReset(() => {
      this.crowdChecked = link.conference.returning;
    });
  }

  private crowdChecked = false;

  /** In a large meeting newcomers start muted, as the deployment says. */
  private onJoined(): void {
    if (this.crowdChecked) return;
    this.crowdChecked = true;
    const { config, link, media, notices } = this.options;
    const others = link.conference.room?.occupants.size ?? 0;
    const state = media.state.get();
    if (config.startAudioMuted !== undefined && others > config.startAudioMuted && state.audioOn) {
      void media.setAudio(false, false);
      notices.show(texts.mutedInCrowd);
    }
    if (config.startVideoMuted !== undefined && others > config.startVideoMuted && state.videoOn) {
      void media.setVideo(false, false);
    }
  }

  private onMuted(kind: "audio" | "video" | "desktop", actor: string): void {
    const { media, notices, nameOf } = this.options;
    if (kind === "audio") void media.setAudio(false, false);
    else if (kind === "video") void media.setVideo(false, false);
    else media.stopScreen();
    const text = actor === "" ? texts.mayNotSend(kind) : texts.mutedBy(nameOf(actor), kind);
    notices.show(text, { important: true });
  }

  toggleAudio(): void {
    void this.options.media.setAudio(!this.options.media.state.get().audioOn);
  }

  toggleVideo(): void {
    void this.options.media.setVideo(!this.options.media.state.get().videoOn);
  }

  toggleScreen(): void {
    const { media } = this.options;
    if (media.state.get().screenOn) media.stopScreen();
    else void media.startScreen();
  }

  /** Push to talk: unmutes while held. */
  setTalking(talking: boolean): void {
    if (this.state.get().talking === talking) return;
    const { media } = this.options;
    if (talking) this.audioBeforeTalk = media.state.get().audioOn;
    if (!talking || !this.audioBeforeTalk) void media.setAudio(talking || this.audioBeforeTalk, false);
    this.state.update((s) => ({ ...s, talking }));
  }

  toggleHand(): void {
    const handRaised = !this.state.get().handRaised;
    this.options.link.conference.setRaisedHand(handRaised);
    this.state.update((s) => ({ ...s, handRaised }));
    this.options.notices.show(handRaised ? texts.handRaised : texts.handLowered);
  }

  /** The user has left: nobody sees the hand any more. */
  lowerHand(): void {
    this.state.update((s) => ({ ...s, handRaised: false }));
  }

  setName(name: string): void {
    this.options.settings.change({ name: name.trim() });
    this.options.link.conference.setName(name.trim());
    this.state.update((s) => ({ ...s }));
  }
}
