// Who is in the room and what is known of each: gathered anew from presence, tracks and the bridge's word.

import type { Clock } from "../protocol/clock";
import { Forwarding, PAUSE_GRACE } from "./forwarding";
import type { Link } from "./link";
import type { LocalMedia } from "./local-media";
import type { Notices } from "./notices";
import { Value } from "./observable";
import type { Own } from "./own";
import { displayName, type Person, remotePerson, type Tile, tilesOf } from "./people";
import type { SettingsStore } from "./settings";
import { texts } from "./texts";

export interface RosterState {
  readonly people: readonly Person[];
  readonly tiles: readonly Tile[];
  /** Whether the user may moderate. */
  readonly moderator: boolean;
}

export interface RosterOptions {
  readonly link: Link;
  readonly clock: Clock;
  readonly settings: SettingsStore;
  readonly media: LocalMedia;
  readonly notices: Notices;
}

export class Roster {
  readonly state = new Value<RosterState>({ people: [], tiles: [], moderator: false });
  private readonly options: RosterOptions;
  private readonly own: Own;
  /** Whose connection to the bridge is interrupted, as the bridge of this session says. */
  private readonly lost = new Set<string>();
  private readonly forwarding = new Forwarding();
  private peer = false;
  private queued = false;

  constructor(options: RosterOptions, own: Own) {
    this.options = options;
    this.own = own;
    const { link, media, notices } = options;
    link.on("roster", () => this.refresh());
    link.on("tracks", () => this.refresh());
    link.on("state", () => this.refresh());
    link.on("personJoined", (o) => !o.hidden && notices.show(texts.joined(displayName(o.name))));
    link.on("personLeft", ({ occupant, kicked }) => {
      this.lost.delete(occupant.id);
      const name = displayName(occupant.name);
      if (!occupant.hidden) notices.show(kicked ? texts.wasRemoved(name) : texts.left(name));
    });
    link.on("connectivity", ({ endpoint, active }) => {
      if (active) this.lost.delete(endpoint);
      else this.lost.add(endpoint);
      this.refresh();
    });
    link.on("forwarded", (sources) => this.onForwarded(sources));
    link.on("media", (state) => state === "none" && this.forgetBridge());
    link.on("peer", (peer) => {
      this.peer = peer;
      // What the bridge did not need to send meanwhile is not paused.
      this.forwarding.reset();
      this.refresh();
    });
    link.onReset(() => {
      this.peer = false;
      this.forgetBridge();
    });
    own.state.subscribe(() => this.refresh());
    media.state.subscribe(() => this.refresh());
  }

  /** A session with the bridge is over: what it said does not hold for the next one. */
  private forgetBridge(): void {
    this.lost.clear();
    this.forwarding.reset();
    this.refresh();
  }

  private onForwarded(sources: readonly string[]): void {
    const { clock } = this.options;
    this.forwarding.update(sources, clock.now());
    this.refresh();
    clock.setTimeout(() => this.refresh(), PAUSE_GRACE + 1);
  }

  private readonly isPaused = (source: string): boolean =>
    !this.peer && this.forwarding.isPaused(source, this.options.clock.now());

  /** Gathers the people anew; several causes at once make one update. */
  private refresh(): void {
    if (this.queued) return;
    this.queued = true;
    queueMicrotask(() => {
      this.queued = false;
      this.refreshNow();
    });
  }

  private refreshNow(): void {
    const { conference } = this.options.link;
    const tracks = conference.remoteTracks();
    const others = [...(conference.room?.occupants.values() ?? [])]
      .filter((o) => !o.hidden)
      .map((o) => remotePerson(o, tracks, this.lost.has(o.id), this.isPaused));
    const people = [this.self(), ...others];
    const moderator = conference.room?.moderator ?? false;
    this.state.set({ people, tiles: tilesOf(people, true), moderator });
  }

  private self(): Person {
    const { link, settings, media } = this.options;
    const { conference } = link;
    const { audioOn, videoOn, screenOn, videoTrack, screenTrack } = media.state.get();
    return {
      id: conference.endpointId,
      name: displayName(settings.get().name),
      local: true,
      moderator: conference.room?.moderator ?? false,
      audioMuted: !audioOn,
      videoMuted: !videoOn,
      handRaised: this.own.state.get().handRaised,
      sharing: screenOn,
      connectionLost: false,
      videoPaused: false,
      audioTrack: null,
      videoTrack,
      screenTrack,
      videoSource: "",
      screenSource: "",
    };
  }
}
