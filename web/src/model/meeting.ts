// The meeting as the interface sees it: which page, who is there, what is on stage, what went wrong.

import type { Clock, Timer } from "../protocol/clock";
import type { Conference, ConferenceEvents, ConferenceState } from "../protocol/conference";
import type { MeetingConfig } from "../protocol/config";
import type { ProtocolError } from "../protocol/errors";
import type { Knocker } from "../protocol/lobby";
import type { MediaState } from "../protocol/sessions";
import { Chat, entryFrom, MAX_MESSAGE } from "./chat";
import { type Explanation, explain } from "./explain";
import { Forwarding, PAUSE_GRACE } from "./forwarding";
import { chooseVisible, receiverConstraints, type VisibleSource } from "./layout";
import type { LocalMedia } from "./local-media";
import { Value } from "./observable";
import { displayName, type Person, remotePerson, type Tile, tilesOf } from "./people";
import type { SettingsStore } from "./settings";
import type { Action } from "./shortcuts";

export type Page = "prejoin" | "room" | "left";
export type Panel = "none" | "chat" | "people";
export type Dialog = "none" | "help" | "settings" | "password" | "lock" | "quality" | "knock";

export interface Notice {
  readonly id: number;
  readonly text: string;
  readonly important: boolean;
}

export interface MeetingState {
  readonly page: Page;
  readonly connection: ConferenceState;
  readonly media: MediaState;
  readonly peer: boolean;
  readonly people: readonly Person[];
  readonly tiles: readonly Tile[];
  readonly stage: string | undefined;
  readonly speaker: string;
  readonly moderator: boolean;
  readonly locked: boolean;
  readonly lobby: boolean;
  readonly knockers: readonly Knocker[];
  readonly knocking: "no" | "waiting" | "denied";
  readonly noBridge: boolean;
  readonly startedAt: number | undefined;
  readonly subject: string;
  readonly panel: Panel;
  readonly dialog: Dialog;
  readonly stripShown: boolean;
  readonly handRaised: boolean;
  readonly talking: boolean;
  /** Why joining did not work, or why we are on the page for those who left. */
  readonly problem: Explanation | undefined;
  readonly passwordWrong: boolean;
  readonly waiting: Explanation | undefined;
  readonly chatTo: string | undefined;
  readonly maxHeight: number;
}

export interface MeetingOptions {
  readonly roomTitle: string;
  readonly config: MeetingConfig;
  readonly clock: Clock;
  readonly settings: SettingsStore;
  readonly media: LocalMedia;
  readonly newConference: () => Conference;
  readonly wallClock: () => number;
}

const NOTICE_TIME = 4_000;
const PLAIN_NOTICES = 2;
const IMPORTANT_NOTICES = 3;
const CONSTRAINTS_DELAY = 100;
const SPEAKERS_KEPT = 12;
/** A page in the background this long gets no pictures. */
const HIDDEN_GRACE = 15_000;

export class Meeting {
  readonly state: Value<MeetingState>;
  readonly notices = new Value<readonly Notice[]>([]);
  readonly chat = new Chat();
  readonly media: LocalMedia;
  readonly options: MeetingOptions;
  conference: Conference;

  private nextNotice = 1;
  private readonly speakers: string[] = [];
  private readonly lost = new Set<string>();
  private readonly forwarding = new Forwarding();
  private pinned: string | undefined;
  private grid: boolean | undefined;
  private shownHeights = new Map<string, number>();
  private constraintTimer: Timer | undefined;
  private lastConstraints = "";
  private password: string | undefined;
  private refreshQueued = false;
  private hiddenTimer: Timer | undefined;
  private hidden = false;
  private audioBeforeTalk = false;

  constructor(options: MeetingOptions) {
    this.options = options;
    this.media = options.media;
    this.state = new Value<MeetingState>({
      page: "prejoin",
      connection: "idle",
      media: "none",
      peer: false,
      people: [],
      tiles: [],
      stage: undefined,
      speaker: "",
      moderator: false,
      locked: false,
      lobby: false,
      knockers: [],
      knocking: "no",
      noBridge: false,
      startedAt: undefined,
      subject: "",
      panel: "none",
      dialog: "none",
      stripShown: true,
      handRaised: false,
      talking: false,
      problem: undefined,
      passwordWrong: false,
      waiting: undefined,
      chatTo: undefined,
      maxHeight: Math.max(180, options.config.resolution),
    });
    this.conference = this.makeConference();
    this.media.tracks.subscribe(() => this.onTracks());
    this.media.state.subscribe(() => this.refresh());
    this.media.notices.subscribe(() => {
      const text = this.media.notices.get();
      // Before joining, the form itself says what is wrong with the devices.
      if (text !== "" && this.state.get().page === "room") this.notify(text, true);
    });
  }

  private change(change: Partial<MeetingState>): void {
    this.state.update((s) => ({ ...s, ...change }));
  }

  // --- joining and leaving ------------------------------------------------------------------

  /** Logs in ahead of the join, so that joining itself is quick. */
  prepare(): void {
    this.conference.connect();
  }

  join(name: string, password?: string): void {
    const { settings, roomTitle } = this.options;
    settings.change({ name: name.trim() });
    settings.rememberRoom(roomTitle);
    this.password = password ?? this.password;
    // Logging in ahead may have failed for good; the user asks for another attempt.
    if (this.conference.state === "ended") this.replaceConference();
    this.change({
      page: "room",
      problem: undefined,
      waiting: undefined,
      dialog: "none",
      passwordWrong: false,
    });
    this.conference.join({
      name: name.trim(),
      ...(this.password !== undefined && { password: this.password }),
    });
    this.refresh();
  }

  async leave(): Promise<void> {
    this.change({ page: "left", problem: undefined, panel: "none", dialog: "none" });
    this.media.stopAll();
    await this.conference.leave();
  }

  /** Comes back from the page for those who left. */
  rejoin(): void {
    const { settings } = this.options;
    void this.conference.leave();
    this.replaceConference();
    const { audioOn, videoOn } = settings.get();
    void this.media.start(audioOn, videoOn);
    this.join(settings.get().name);
    this.onTracks();
  }

  private replaceConference(): void {
    this.conference = this.makeConference();
    this.conference.setTracks(this.media.tracks.get());
    this.lost.clear();
    this.forwarding.reset();
    this.speakers.length = 0;
  }

  private makeConference(): Conference {
    const conference = this.options.newConference();
    const on = <K extends keyof ConferenceEvents>(
      event: K,
      run: (value: ConferenceEvents[K]) => void,
    ): void => {
      conference.on(event, (value) => {
        if (conference === this.conference) run(value);
      });
    };
    on("state", (connection) => this.onState(connection));
    on("roster", () => this.refresh());
    on("tracks", () => this.refresh());
    on("personJoined", (o) => !o.hidden && this.notify(`${displayName(o.name)} joined`));
    on("personLeft", ({ occupant, kicked }) => {
      if (!occupant.hidden) this.notify(`${displayName(occupant.name)} ${kicked ? "was removed" : "left"}`);
    });
    on("message", (m) => this.onMessage(entryFrom(m, conference.endpointId, this.nameOf, this.now())));
    on("chatError", (detail) => this.chat.fail(detail));
    on("subject", (subject) => this.change({ subject }));
    on("locked", (locked) => this.change({ locked }));
    on("lobby", (lobby) => this.change({ lobby }));
    on("knockers", (knockers) => this.onKnockers(knockers));
    on("knockDenied", () => this.change({ knocking: "denied" }));
    on("startedAt", (startedAt) => this.change({ startedAt }));
    on("noBridge", (noBridge) => this.change({ noBridge }));
    on("joinFailed", (error) => this.onJoinFailed(error));
    on("removed", (removed) => this.onRemoved(removed));
    on("media", (media) => {
      if (media === "none") this.forwarding.reset();
      this.change({ media });
    });
    on("peer", (peer) => {
      // What the bridge did not need to send meanwhile is not paused.
      this.forwarding.reset();
      this.change({ peer, ...(!peer && { speaker: "" }) });
    });
    on("speaker", ({ endpoint, silence }) => this.onSpeaker(silence ? "" : endpoint));
    on("connectivity", ({ endpoint, active }) => {
      if (active) this.lost.delete(endpoint);
      else this.lost.add(endpoint);
      this.refresh();
    });
    on("forwarded", (sources) => this.onForwarded(sources));
    on("mutedByModerator", ({ media, actor }) => this.onMuted(media, actor));
    return conference;
  }

  private now(): number {
    return this.options.wallClock();
  }

  private onState(connection: ConferenceState): void {
    const before = this.state.get().connection;
    this.change({ connection });
    if (connection === "joined") {
      const { dialog } = this.state.get();
      const open = dialog === "knock" || dialog === "password" ? "none" : dialog;
      this.change({ waiting: undefined, passwordWrong: false, knocking: "no", dialog: open });
    }
    if (connection === "reconnecting") this.notify("The connection was lost. Reconnecting…", true);
    else if (connection === "joined" && before === "reconnecting") this.notify("You are back.");
    if (connection === "joined" && before !== "reconnecting") this.startMutedInCrowd();
    this.refresh();
  }

  /** In a large meeting newcomers start muted, as the deployment says. */
  private startMutedInCrowd(): void {
    const { config } = this.options;
    const others = this.conference.room?.occupants.size ?? 0;
    const state = this.media.state.get();
    if (config.startAudioMuted !== undefined && others > config.startAudioMuted && state.audioOn) {
      void this.media.setAudio(false, false);
      this.notify("You start muted because many people are here.");
    }
    if (config.startVideoMuted !== undefined && others > config.startVideoMuted && state.videoOn) {
      void this.media.setVideo(false, false);
    }
  }

  private onJoinFailed(error: ProtocolError): void {
    if (error.code === "password-required") {
      this.change({ page: "room", dialog: "password", passwordWrong: this.password !== undefined });
      this.password = undefined;
    } else if (error.code === "members-only" && error.lobbyRoom !== "") {
      this.change({ page: "room", dialog: "knock", knocking: "no" });
    } else if (error.code === "authentication-required" || error.code === "not-live") {
      this.change({ waiting: explain(error) });
    } else if (error.code === "name-required" || this.state.get().page === "prejoin") {
      this.change({ page: "prejoin", problem: explain(error) });
    } else {
      this.change({ page: "left", problem: explain(error) });
      this.media.stopAll();
    }
  }

  private onRemoved({
    kind,
    by,
    reason,
  }: {
    kind: "kicked" | "ended" | "left";
    by: string;
    reason: string;
  }): void {
    const title =
      kind === "kicked"
        ? `${by === "" ? "A moderator" : this.nameOf(by)} removed you from the meeting.`
        : "The meeting was ended.";
    this.media.stopAll();
    this.change({ page: "left", problem: { title, hint: reason }, panel: "none", dialog: "none" });
  }

  private onMuted(media: "audio" | "video" | "desktop", actor: string): void {
    if (media === "audio") void this.media.setAudio(false, false);
    else if (media === "video") void this.media.setVideo(false, false);
    else this.media.stopScreen();
    const what = {
      audio: "muted your microphone",
      video: "stopped your camera",
      desktop: "stopped your shared screen",
    };
    this.notify(
      actor === ""
        ? `You may not ${media === "audio" ? "speak" : "send video"} now.`
        : `${this.nameOf(actor)} ${what[media]}`,
      true,
    );
  }

  // --- people and tiles ---------------------------------------------------------------------

  readonly nameOf = (id: string): string => {
    if (id === this.conference.endpointId) return displayName(this.options.settings.get().name);
    return displayName(this.conference.room?.occupants.get(id)?.name ?? "");
  };

  /** Gathers the people anew; several causes at once make one update. */
  private refresh(): void {
    if (this.refreshQueued) return;
    this.refreshQueued = true;
    queueMicrotask(() => {
      this.refreshQueued = false;
      this.refreshNow();
    });
  }

  private refreshNow(): void {
    const tracks = this.conference.remoteTracks();
    const others = [...(this.conference.room?.occupants.values() ?? [])]
      .filter((o) => !o.hidden)
      .map((o) => remotePerson(o, tracks, this.lost.has(o.id), this.isPaused));
    const people = [this.self(), ...others];
    const tiles = tilesOf(people, true);
    const moderator = this.conference.room?.moderator ?? false;
    this.change({ people, tiles, stage: this.stageOf(tiles), moderator });
    this.scheduleConstraints();
  }

  private self(): Person {
    const media = this.media.state.get();
    return {
      id: this.conference.endpointId,
      name: displayName(this.options.settings.get().name),
      local: true,
      moderator: this.conference.room?.moderator ?? false,
      audioMuted: !media.audioOn,
      videoMuted: !media.videoOn,
      handRaised: this.state.get().handRaised,
      sharing: media.screenOn,
      connectionLost: false,
      videoPaused: false,
      audioTrack: null,
      videoTrack: media.videoTrack,
      screenTrack: media.screenTrack,
      videoSource: "",
      screenSource: "",
    };
  }

  /** What stands large: a choice of the user, else a shared screen, else nothing (the grid). */
  private stageOf(tiles: readonly Tile[]): string | undefined {
    if (this.pinned !== undefined && !tiles.some((t) => t.key === this.pinned)) this.pinned = undefined;
    if (this.grid === true) return undefined;
    if (this.pinned !== undefined) return this.pinned;
    const screen = tiles.find((t) => t.screen && !t.person.local);
    if (screen !== undefined) return screen.key;
    if (this.grid === undefined) return undefined;
    const { speaker } = this.state.get();
    const remote = tiles.filter((t) => !t.person.local && !t.screen);
    return (remote.find((t) => t.person.id === speaker) ?? remote[0] ?? tiles[0])?.key;
  }

  pin(key: string): void {
    this.pinned = this.pinned === key ? undefined : key;
    this.grid = this.pinned === undefined ? undefined : false;
    this.refresh();
  }

  private readonly isPaused = (source: string): boolean =>
    !this.state.get().peer && this.forwarding.isPaused(source, this.options.clock.now());

  private onForwarded(sources: readonly string[]): void {
    const { clock } = this.options;
    this.forwarding.update(sources, clock.now());
    this.refresh();
    clock.setTimeout(() => this.refresh(), PAUSE_GRACE + 1);
  }

  toggleView(): void {
    this.pinned = undefined;
    this.grid = this.state.get().stage !== undefined;
    this.refresh();
  }

  private onSpeaker(endpoint: string): void {
    if (endpoint !== "") {
      const at = this.speakers.indexOf(endpoint);
      if (at >= 0) this.speakers.splice(at, 1);
      this.speakers.unshift(endpoint);
      this.speakers.length = Math.min(this.speakers.length, SPEAKERS_KEPT);
    }
    this.change({ speaker: endpoint });
    this.refresh();
  }

  /** Highlights who is loud, where no bridge says it. */
  noteSpeaker(endpoint: string): void {
    if (this.state.get().peer && endpoint !== this.state.get().speaker) this.onSpeaker(endpoint);
  }

  /** The keys of the tiles to show when there is room for so many. */
  visibleTiles(tiles: readonly Tile[], limit: number): Tile[] {
    const ranked = tiles.map((t) => {
      const spoke = this.speakers.indexOf(t.person.id);
      return {
        key: t.key,
        local: t.person.local,
        screen: t.screen,
        spoke: spoke < 0 ? undefined : spoke,
        handRaised: t.person.handRaised,
      };
    });
    const keys = new Set(chooseVisible(ranked, limit));
    return tiles.filter((t) => keys.has(t.key));
  }

  // --- what to receive ----------------------------------------------------------------------

  /** Reports how high each shown tile is, in device pixels. */
  showTiles(heights: ReadonlyMap<string, number>): void {
    this.shownHeights = new Map(heights);
    this.scheduleConstraints();
  }

  private scheduleConstraints(): void {
    if (this.constraintTimer !== undefined) return;
    this.constraintTimer = this.options.clock.setTimeout(() => {
      this.constraintTimer = undefined;
      this.sendConstraints();
    }, CONSTRAINTS_DELAY);
  }

  private sendConstraints(): void {
    const { tiles, stage, maxHeight } = this.state.get();
    const remote = tiles.filter((t) => !t.person.local);
    const visible: VisibleSource[] = remote.flatMap((t) => {
      const pixels = this.shownHeights.get(t.key);
      const name = t.screen ? t.person.screenSource : t.person.videoSource;
      return pixels === undefined || name === ""
        ? []
        : [{ name, pixels, onStage: t.key === stage, screen: t.screen }];
    });
    const all = remote.every((t) => this.shownHeights.has(t.key));
    const lastN = this.hidden ? 0 : this.options.config.lastN;
    const constraints = receiverConstraints(visible, all, lastN, maxHeight);
    const now = JSON.stringify(constraints);
    if (now === this.lastConstraints) return;
    this.lastConstraints = now;
    this.conference.setReceiverConstraints(constraints);
  }

  /** Nobody looks at a page in the background: it keeps the sound and saves the pictures. */
  setHidden(hidden: boolean): void {
    const { clock } = this.options;
    clock.clearTimeout(this.hiddenTimer);
    const apply = (): void => {
      this.hidden = hidden;
      this.scheduleConstraints();
    };
    if (hidden) this.hiddenTimer = clock.setTimeout(apply, HIDDEN_GRACE);
    else apply();
  }

  setMaxHeight(maxHeight: number): void {
    this.change({ maxHeight });
    this.scheduleConstraints();
  }

  // --- own media and actions ----------------------------------------------------------------

  private onTracks(): void {
    this.conference.setTracks(this.media.tracks.get());
    this.refresh();
  }

  toggleAudio(): void {
    void this.media.setAudio(!this.media.state.get().audioOn);
  }

  toggleVideo(): void {
    void this.media.setVideo(!this.media.state.get().videoOn);
  }

  toggleScreen(): void {
    if (this.media.state.get().screenOn) this.media.stopScreen();
    else void this.media.startScreen();
  }

  /** Push to talk: unmutes while held. */
  setTalking(talking: boolean): void {
    if (this.state.get().talking === talking) return;
    if (talking) this.audioBeforeTalk = this.media.state.get().audioOn;
    if (!talking || !this.audioBeforeTalk) void this.media.setAudio(talking || this.audioBeforeTalk, false);
    this.change({ talking });
  }

  toggleHand(): void {
    const handRaised = !this.state.get().handRaised;
    this.conference.setRaisedHand(handRaised);
    this.change({ handRaised });
    this.notify(handRaised ? "You raised your hand" : "You lowered your hand");
    this.refresh();
  }

  togglePanel(panel: Panel): void {
    const now = this.state.get().panel === panel ? "none" : panel;
    this.change({ panel: now });
    this.chat.setOpen(now === "chat");
  }

  openDialog(dialog: Dialog): void {
    this.change({ dialog: this.state.get().dialog === dialog ? "none" : dialog });
  }

  setName(name: string): void {
    this.options.settings.change({ name: name.trim() });
    this.conference.setName(name.trim());
    this.refresh();
  }

  /** Carries out a keyboard action; the full screen belongs to the page. */
  act(action: Action): void {
    switch (action) {
      case "toggle-audio":
        this.toggleAudio();
        break;
      case "toggle-video":
        this.toggleVideo();
        break;
      case "toggle-screen":
        this.toggleScreen();
        break;
      case "toggle-chat":
        this.togglePanel("chat");
        break;
      case "toggle-people":
        this.togglePanel("people");
        break;
      case "toggle-hand":
        this.toggleHand();
        break;
      case "toggle-view":
        this.toggleView();
        break;
      case "toggle-strip":
        this.change({ stripShown: !this.state.get().stripShown });
        break;
      case "quality":
        this.openDialog("quality");
        break;
      case "help":
        this.openDialog("help");
        break;
      case "close":
        if (this.state.get().dialog !== "none") this.change({ dialog: "none" });
        else if (this.state.get().panel !== "none") this.togglePanel(this.state.get().panel);
        break;
      case "toggle-fullscreen":
        break;
    }
  }

  /** Puts the nth person on stage; 0 is the user. */
  focusPerson(index: number): void {
    const { people } = this.state.get();
    const person = index === 0 ? people.find((p) => p.local) : people.filter((p) => !p.local)[index - 1];
    if (person !== undefined) this.pin(person.id);
  }

  // --- chat ---------------------------------------------------------------------------------

  private onMessage(entry: Parameters<Chat["add"]>[0]): void {
    this.chat.add(entry);
    if (!entry.own && this.state.get().panel !== "chat") {
      this.notify(
        `${entry.name}${entry.privateWith === undefined ? "" : " (privately)"}: ${entry.text.slice(0, 120)}`,
      );
    }
  }

  sendChat(text: string): void {
    const body = text.trim().slice(0, MAX_MESSAGE);
    const { room } = this.conference;
    if (body === "") return;
    if (room === undefined || !room.joined) {
      this.chat.fail("you are not connected");
      return;
    }
    const to = this.state.get().chatTo;
    const id = room.sendMessage(body, to);
    if (to === undefined) return;
    // The room sends group messages back to us, private ones it does not.
    const name = this.nameOf(this.conference.endpointId);
    this.chat.add({ id, own: true, name, privateWith: this.nameOf(to), text: body, at: this.now() });
  }

  setChatTo(chatTo: string | undefined): void {
    this.change({ chatTo });
  }

  // --- moderation ---------------------------------------------------------------------------

  kick(id: string): void {
    void this.moderate(this.conference.room?.kick(id, "You have been removed."), "remove this person");
  }

  mutePerson(id: string, media: "audio" | "video"): void {
    void this.moderate(this.conference.room?.mute(id, media, true), "mute this person");
  }

  muteEveryone(): void {
    for (const person of this.state.get().people) {
      if (!person.local && !person.audioMuted) this.mutePerson(person.id, "audio");
    }
  }

  grantModerator(id: string): void {
    void this.moderate(this.conference.room?.grantModerator(id), "make this person a moderator");
  }

  lock(password: string): void {
    this.change({ dialog: "none" });
    this.password = password === "" ? undefined : password;
    const done = this.moderate(this.conference.room?.setPassword(password), "change the password");
    void done.then(
      (ok) =>
        ok && this.notify(password === "" ? "The password was removed." : "The meeting has a password now."),
    );
  }

  private async moderate(work: Promise<void> | undefined, what: string): Promise<boolean> {
    try {
      await work;
      return true;
    } catch {
      this.notify(`The server did not let you ${what}.`, true);
      return false;
    }
  }

  // --- waiting room -------------------------------------------------------------------------

  knock(name: string): void {
    this.options.settings.change({ name: name.trim() });
    this.change({ knocking: "waiting" });
    this.conference.knock(name.trim());
  }

  private onKnockers(knockers: readonly Knocker[]): void {
    const known = new Set(this.state.get().knockers.map((k) => k.id));
    const fresh = knockers.filter((k) => !known.has(k.id));
    this.change({ knockers });
    for (const knocker of fresh) this.notify(`${displayName(knocker.name)} asks to join`, true);
  }

  admit(id: string): void {
    this.conference.admit(id);
  }

  reject(id: string): void {
    void this.moderate(this.conference.reject(id), "turn this person away");
  }

  setLobbyEnabled(enabled: boolean): void {
    const work = this.conference.room?.setLobbyEnabled(enabled);
    void this.moderate(work, enabled ? "turn the waiting room on" : "turn the waiting room off");
  }

  // --- notices ------------------------------------------------------------------------------

  notify(text: string, important = false): void {
    const id = this.nextNotice++;
    this.notices.update((list) => {
      const kept = list.filter((n) => n.text !== text);
      const plain = kept.filter((n) => !n.important).slice(1 - PLAIN_NOTICES);
      const loud = kept.filter((n) => n.important).slice(1 - IMPORTANT_NOTICES);
      return [...kept.filter((n) => plain.includes(n) || loud.includes(n)), { id, text, important }];
    });
    this.options.clock.setTimeout(() => this.dismiss(id), important ? NOTICE_TIME * 2 : NOTICE_TIME);
  }

  dismiss(id: number): void {
    this.notices.update((list) => list.filter((n) => n.id !== id));
  }
}
