// When the steps of a join happened, in milliseconds since the page began to load.

export type Step =
  | "scriptStarted"
  | "online"
  | "joined"
  | "offered"
  | "mediaConnected"
  | "firstRemoteTrack"
  | "firstRemoteFrame";

class Timings {
  private readonly marks = new Map<Step, number>();

  mark(step: Step): void {
    if (!this.marks.has(step)) this.marks.set(step, Math.round(performance.now()));
  }

  get(): Partial<Record<Step, number>> {
    return Object.fromEntries(this.marks);
  }
}

export const timings = new Timings();
