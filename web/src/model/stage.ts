// What stands large: a choice of the user, else a shared screen, else nothing (the grid). Also who spoke last.

import { chooseVisible } from "./layout";
import type { Link } from "./link";
import { Value } from "./observable";
import type { Tile } from "./people";
import type { Roster } from "./roster";

export interface StageState {
  /** Key of the tile that stands large. */
  readonly stage: string | undefined;
  /** Endpoint of who speaks, empty for nobody. */
  readonly speaker: string;
}

const SPEAKERS_KEPT = 12;

export class Stage {
  readonly state = new Value<StageState>({ stage: undefined, speaker: "" });
  private readonly roster: Roster;
  private readonly speakers: string[] = [];
  private pinned: string | undefined;
  /** Whether the user chose the grid; undefined while they chose nothing. */
  private grid: boolean | undefined;
  private peer = false;

  constructor(link: Link, roster: Roster) {
    this.roster = roster;
    link.on("speaker", ({ endpoint, silence }) => this.onSpeaker(silence ? "" : endpoint));
    link.on("peer", (peer) => {
      this.peer = peer;
      if (!peer) this.state.update((s) => ({ ...s, speaker: "" }));
    });
    link.onReset(() => {
      this.peer = false;
      this.speakers.length = 0;
      this.state.update((s) => ({ ...s, speaker: "" }));
    });
    roster.state.subscribe(() => this.arrange());
  }

  private arrange(): void {
    const stage = this.stageOf(this.roster.state.get().tiles);
    if (stage !== this.state.get().stage) this.state.update((s) => ({ ...s, stage }));
  }

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

  /** Puts a tile on the stage, or takes it off again. */
  pin(key: string): void {
    this.pinned = this.pinned === key ? undefined : key;
    this.grid = this.pinned === undefined ? undefined : false;
    this.arrange();
  }

  toggleView(): void {
    this.pinned = undefined;
    this.grid = this.state.get().stage !== undefined;
    this.arrange();
  }

  /** Puts the nth person on stage; 0 is the user. */
  focusPerson(index: number): void {
    const { people } = this.roster.state.get();
    const person = index === 0 ? people.find((p) => p.local) : people.filter((p) => !p.local)[index - 1];
    if (person !== undefined) this.pin(person.id);
  }

  private onSpeaker(speaker: string): void {
    if (speaker !== "") {
      const at = this.speakers.indexOf(speaker);
      if (at >= 0) this.speakers.splice(at, 1);
      this.speakers.unshift(speaker);
      this.speakers.length = Math.min(this.speakers.length, SPEAKERS_KEPT);
    }
    this.state.update((s) => ({ ...s, speaker }));
    this.arrange();
  }

  /** Highlights who is loud, where no bridge says it. */
  noteSpeaker(endpoint: string): void {
    if (this.peer && endpoint !== this.state.get().speaker) this.onSpeaker(endpoint);
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
}
