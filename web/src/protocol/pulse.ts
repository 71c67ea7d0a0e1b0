// Whether packets still come over a path: asked at once when something says that the network has changed, and when
// moving pictures stand still. ICE itself notices a dead path only after five seconds and more.

import type { Clock, Timer } from "./clock";

export interface PulseOptions {
  readonly clock: Clock;
  /** When the newest picture of anybody came, on any clock; undefined without pictures. */
  readonly newestPicture: () => number | undefined;
  /** Bytes that have come over the path in all; undefined if the browser does not count them. */
  readonly bytes: () => Promise<number | undefined>;
  /** Pictures that moved steadily stand still. */
  readonly onStill: () => void;
  /** Nothing came for a while after it was asked. */
  readonly onSilent: () => void;
}

/** How often pictures are looked at, milliseconds. */
const LOOK = 250;
/** Pictures move steadily when for this long no two looks in a row saw the same one. */
const STEADY = 2_000;
/** They stand still when none has come for this long. */
const STILL = 800;
/** Browsers count bytes a moment late; milliseconds. */
const LATE = 100;
/** How long to listen before a path counts as silent: feedback on what we send comes more often. */
const LISTEN = 300;

export class Pulse {
  private readonly options: PulseOptions;
  private lookTimer: Timer | undefined;
  private listenTimer: Timer | undefined;
  private listening = false;
  private newest: number | undefined;
  private movedAt: number;
  private steadySince: number;
  private told = false;
  private ended = false;

  constructor(options: PulseOptions) {
    this.options = options;
    this.movedAt = options.clock.now();
    this.steadySince = this.movedAt;
  }

  /** Watches pictures from now on. */
  start(): void {
    if (this.ended || this.lookTimer !== undefined) return;
    this.lookTimer = this.options.clock.setTimeout(() => {
      this.lookTimer = undefined;
      this.look();
      this.start();
    }, LOOK);
  }

  stop(): void {
    this.ended = true;
    this.options.clock.clearTimeout(this.lookTimer);
    this.options.clock.clearTimeout(this.listenTimer);
  }

  private look(): void {
    const now = this.options.clock.now();
    const newest = this.options.newestPicture();
    if (newest !== undefined && newest !== this.newest) {
      if (now - this.movedAt > 2 * LOOK) this.steadySince = now;
      this.newest = newest;
      this.movedAt = now;
      this.told = false;
    } else if (!this.told && now - this.movedAt >= STILL && this.movedAt - this.steadySince >= STEADY) {
      this.told = true;
      this.options.onStill();
    }
  }

  /** Something else was lost: listens if pictures came until now, of which something is always on its way. */
  async doubt(): Promise<void> {
    const { clock } = this.options;
    if (this.newest === undefined || clock.now() - this.movedAt > 2 * LOOK) return;
    await new Promise<void>((resolve) => {
      clock.setTimeout(resolve, LATE);
    });
    await this.listen();
  }

  /** Listens for a moment; tells if nothing comes. */
  async listen(): Promise<void> {
    if (this.listening || this.ended) return;
    this.listening = true;
    const { clock, bytes } = this.options;
    const before = await bytes();
    await new Promise<void>((resolve) => {
      this.listenTimer = clock.setTimeout(resolve, LISTEN);
    });
    const after = await bytes();
    this.listening = false;
    if (before !== undefined && before === after && !this.ended) this.options.onSilent();
  }
}
