// The conference of the moment. The parts of the meeting listen through it: nothing of a conference that was left
// reaches them, and each is told when what it knows of the room no longer holds.

import type { Conference, ConferenceEvents } from "../protocol/conference";

export class Link {
  private current: Conference;
  private readonly make: () => Conference;
  private readonly listeners: ((conference: Conference) => void)[] = [];
  private readonly resets: (() => void)[] = [];

  constructor(make: () => Conference) {
    this.make = make;
    this.current = make();
    this.on("stay", () => this.reset());
  }

  get conference(): Conference {
    return this.current;
  }

  /** Listens to every conference of this meeting while it is the current one. */
  on<K extends keyof ConferenceEvents>(event: K, run: (value: ConferenceEvents[K]) => void): void {
    const attach = (conference: Conference): void => {
      conference.on(event, (value) => {
        if (conference === this.current) run(value);
      });
    };
    this.listeners.push(attach);
    attach(this.current);
  }

  /** Runs when a stay in the room is over: after a loss that could not be resumed, or before another try. */
  onReset(run: () => void): void {
    this.resets.push(run);
  }

  /** Goes on with a new conference; what came from the old one is forgotten. */
  replace(): Conference {
    this.current = this.make();
    for (const attach of this.listeners) attach(this.current);
    this.reset();
    return this.current;
  }

  private reset(): void {
    for (const run of this.resets) run();
  }
}
