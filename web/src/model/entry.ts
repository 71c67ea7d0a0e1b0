// Coming and going: the page before, the way in with a password or a knock, and why one is out again.

import type { ProtocolError } from "../protocol/errors";
import { type Explanation, explain, explainRemoval } from "./explain";
import type { Link } from "./link";
import type { LocalMedia } from "./local-media";
import { Value } from "./observable";
import type { RoomSettings } from "./room-settings";
import type { SettingsStore } from "./settings";
import type { View } from "./view";

export type Page = "prejoin" | "room" | "left";

export interface EntryState {
  readonly page: Page;
  /** Why joining did not work, or why we are on the page for those who left. */
  readonly problem: Explanation | undefined;
  readonly passwordWrong: boolean;
  readonly knocking: "no" | "waiting" | "denied";
  /** Why we wait to be let in. */
  readonly waiting: Explanation | undefined;
}

export interface EntryOptions {
  readonly link: Link;
  readonly settings: SettingsStore;
  readonly media: LocalMedia;
  readonly room: RoomSettings;
  readonly view: View;
  /** Path of the room's page, percent-encoded, with its tenant. */
  readonly roomPath: string;
}

export class Entry {
  readonly state = new Value<EntryState>({
    page: "prejoin",
    problem: undefined,
    passwordWrong: false,
    knocking: "no",
    waiting: undefined,
  });
  private readonly options: EntryOptions;

  constructor(options: EntryOptions) {
    this.options = options;
    const { link, view } = options;
    link.on("state", (state) => {
      if (state !== "joined") return;
      this.change({ waiting: undefined, passwordWrong: false, knocking: "no" });
      view.closeDialogs("knock", "password");
    });
    link.on("joinFailed", (error) => this.onJoinFailed(error));
    link.on("knockDenied", () => this.change({ knocking: "denied" }));
    link.on("removed", (removed) => this.onRemoved(removed));
  }

  private change(change: Partial<EntryState>): void {
    this.state.update((s) => ({ ...s, ...change }));
  }

  /** Logs in ahead of the join, so that joining itself is quick. */
  prepare(): void {
    this.options.link.conference.connect();
  }

  join(name: string, password?: string): void {
    const { link, settings, room, view, roomPath, media } = this.options;
    settings.change({ name: name.trim() });
    settings.rememberRoom(roomPath);
    room.password = password ?? room.password;
    // Logging in ahead may have failed for good; the user asks for another attempt.
    if (link.conference.state === "ended") link.replace().setTracks(media.tracks.get());
    view.showDialog("none");
    this.change({ page: "room", problem: undefined, waiting: undefined, passwordWrong: false });
    link.conference.join({
      name: name.trim(),
      ...(room.password !== undefined && { password: room.password }),
    });
  }

  async leave(): Promise<void> {
    const { link, view, media } = this.options;
    view.closeAll();
    this.change({ page: "left", problem: undefined });
    media.stopAll();
    await link.conference.leave();
  }

  /** Comes back from the page for those who left. */
  rejoin(): void {
    const { link, settings, media } = this.options;
    void link.conference.leave();
    link.replace();
    const { audioOn, videoOn } = settings.get();
    void media.start(audioOn, videoOn);
    this.join(settings.get().name);
    link.conference.setTracks(media.tracks.get());
  }

  knock(name: string): void {
    this.options.settings.change({ name: name.trim() });
    this.change({ knocking: "waiting" });
    this.options.link.conference.knock(name.trim());
  }

  private onJoinFailed(error: ProtocolError): void {
    const { room, view } = this.options;
    if (error.code === "password-required") {
      this.change({ page: "room", passwordWrong: room.password !== undefined });
      room.password = undefined;
      view.showDialog("password");
    } else if (error.code === "members-only" && error.lobbyRoom !== "") {
      this.change({ page: "room", knocking: "no" });
      view.showDialog("knock");
    } else if (error.code === "authentication-required" || error.code === "not-live") {
      this.change({ waiting: explain(error) });
    } else if (error.code === "name-required" || this.state.get().page === "prejoin") {
      this.change({ page: "prejoin", problem: explain(error) });
    } else {
      this.leaveFor(explain(error));
    }
  }

  private onRemoved({ kind, by, reason }: { kind: "kicked" | "ended"; by: string; reason: string }): void {
    this.leaveFor(explainRemoval(kind, by, reason));
  }

  private leaveFor(problem: Explanation): void {
    const { media, view } = this.options;
    media.stopAll();
    view.closeAll();
    this.change({ page: "left", problem });
  }
}
