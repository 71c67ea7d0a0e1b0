// What to ask the bridge for: the pictures that are shown, as large as they are shown.

import type { Clock, Timer } from "../protocol/clock";
import { receiverConstraints, type VisibleSource } from "./layout";
import type { Link } from "./link";
import { Value } from "./observable";
import type { Roster } from "./roster";
import type { Stage } from "./stage";

export interface ReceptionState {
  /** Highest picture the user wants to receive. */
  readonly maxHeight: number;
}

const DELAY = 100;
/** A page in the background this long gets no pictures. */
const HIDDEN_GRACE = 15_000;

export interface ReceptionOptions {
  readonly link: Link;
  readonly clock: Clock;
  readonly roster: Roster;
  readonly stage: Stage;
  readonly lastN: number;
  readonly maxHeight: number;
}

export class Reception {
  readonly state: Value<ReceptionState>;
  private readonly options: ReceptionOptions;
  private shownHeights: ReadonlyMap<string, number> = new Map();
  private timer: Timer | undefined;
  private hiddenTimer: Timer | undefined;
  private hidden = false;
  private last = "";

  constructor(options: ReceptionOptions) {
    this.options = options;
    this.state = new Value<ReceptionState>({ maxHeight: options.maxHeight });
    options.roster.state.subscribe(() => this.schedule());
    options.stage.state.subscribe(() => this.schedule());
    // Another conference has heard nothing yet.
    options.link.onReset(() => {
      this.last = "";
      this.schedule();
    });
  }

  /** Reports how high each shown tile is, in device pixels. */
  showTiles(heights: ReadonlyMap<string, number>): void {
    this.shownHeights = new Map(heights);
    this.schedule();
  }

  setMaxHeight(maxHeight: number): void {
    this.state.set({ maxHeight });
    this.schedule();
  }

  /** Nobody looks at a page in the background: it keeps the sound and saves the pictures. */
  setHidden(hidden: boolean): void {
    const { clock } = this.options;
    clock.clearTimeout(this.hiddenTimer);
    const apply = (): void => {
      this.hidden = hidden;
      this.schedule();
    };
    if (hidden) this.hiddenTimer = clock.setTimeout(apply, HIDDEN_GRACE);
    else apply();
  }

  private schedule(): void {
    this.timer ??= this.options.clock.setTimeout(() => {
      this.timer = undefined;
      this.send();
    }, DELAY);
  }

  private send(): void {
    const { roster, stage, link, lastN } = this.options;
    const onStage = stage.state.get().stage;
    const remote = roster.state.get().tiles.filter((t) => !t.person.local);
    const visible: VisibleSource[] = remote.flatMap((t) => {
      const pixels = this.shownHeights.get(t.key);
      const name = t.screen ? t.person.screenSource : t.person.videoSource;
      return pixels === undefined || name === ""
        ? []
        : [{ name, pixels, onStage: t.key === onStage, screen: t.screen }];
    });
    const all = remote.every((t) => this.shownHeights.has(t.key));
    const wanted = this.hidden ? 0 : lastN;
    const constraints = receiverConstraints(visible, all, wanted, this.state.get().maxHeight);
    const now = JSON.stringify(constraints);
    if (now === this.last) return;
    this.last = now;
    link.conference.setReceiverConstraints(constraints);
  }
}
