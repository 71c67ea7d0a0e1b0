// Which pictures the bridge is sending, so that a frozen one is not taken for a live one.

/** How long a picture may be missing from the bridge's list before it counts as paused, in milliseconds. */
export const PAUSE_GRACE = 2_000;

export class Forwarding {
  private current: ReadonlySet<string> = new Set();
  private readonly missingSince = new Map<string, number>();

  /** Takes the complete list of sources being sent. */
  update(sources: readonly string[], now: number): void {
    const next = new Set(sources);
    for (const name of this.current) if (!next.has(name)) this.missingSince.set(name, now);
    for (const name of next) this.missingSince.delete(name);
    this.current = next;
  }

  /** Whether a picture that was once sent has not been for a while. */
  isPaused(source: string, now: number): boolean {
    const since = this.missingSince.get(source);
    return since !== undefined && now - since >= PAUSE_GRACE;
  }

  /** The session is over; what it sent says nothing any more. */
  reset(): void {
    this.current = new Set();
    this.missingSince.clear();
  }
}
