// Time and timers as an input, so that everything above can run on virtual time.

export type Timer = number;

export interface Clock {
  /** Milliseconds from an arbitrary start; never goes back. */
  now(): number;
  setTimeout(run: () => void, ms: number): Timer;
  clearTimeout(timer: Timer | undefined): void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  setTimeout: (run, ms) => globalThis.setTimeout(run, ms) as unknown as Timer,
  clearTimeout: (timer) => globalThis.clearTimeout(timer),
};

interface Waiting {
  readonly id: Timer;
  readonly at: number;
  readonly run: () => void;
}

/** A clock that moves only when told to. */
export class VirtualClock implements Clock {
  private time = 0;
  private next = 1;
  private waiting: Waiting[] = [];

  now(): number {
    return this.time;
  }

  setTimeout(run: () => void, ms: number): Timer {
    const id = this.next++;
    this.waiting.push({ id, at: this.time + Math.max(0, ms), run });
    return id;
  }

  clearTimeout(timer: Timer | undefined): void {
    this.waiting = this.waiting.filter((w) => w.id !== timer);
  }

  /** Moves time on, running what falls due on the way and letting promises settle in between. */
  async advance(ms: number): Promise<void> {
    const end = this.time + ms;
    await settle();
    for (;;) {
      const due = this.waiting.filter((w) => w.at <= end).sort((a, b) => a.at - b.at || a.id - b.id)[0];
      if (due === undefined) break;
      this.waiting = this.waiting.filter((w) => w !== due);
      this.time = due.at;
      due.run();
      await settle();
    }
    this.time = end;
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}
