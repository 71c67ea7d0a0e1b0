// Short messages over the page: what happened, and what can be done about it.

import type { Clock } from "../protocol/clock";
import { Value } from "./observable";

export interface NoticeAction {
  readonly label: string;
  readonly testid: string;
  readonly run: () => void;
  readonly primary?: boolean;
}

export interface Notice {
  readonly id: number;
  /** What it is about; a newer notice about the same replaces it. */
  readonly key: string;
  readonly text: string;
  readonly important: boolean;
  /** Stays until it is dismissed or withdrawn. */
  readonly sticky: boolean;
  readonly actions: readonly NoticeAction[];
}

export interface NoticeOptions {
  readonly key?: string;
  readonly important?: boolean;
  /** Notices with actions stay in any case: nobody has to be quick. */
  readonly sticky?: boolean;
  readonly actions?: readonly NoticeAction[];
}

const PLAIN_TIME = 4_000;
const IMPORTANT_TIME = 8_000;
const MAX_PLAIN = 2;
const MAX_IMPORTANT = 3;
const MAX_STICKY = 4;

export class Notices {
  readonly list = new Value<readonly Notice[]>([]);
  private readonly clock: Clock;
  private nextId = 1;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Shows a notice and returns its id. Of each sort only the newest few stay. */
  show(text: string, options: NoticeOptions = {}): number {
    const { key = text, important = false, actions = [] } = options;
    const sticky = (options.sticky ?? false) || actions.length > 0;
    const id = this.nextId++;
    this.list.update((list) =>
      newest([...list.filter((n) => n.key !== key), { id, key, text, important, sticky, actions }]),
    );
    if (!sticky) this.clock.setTimeout(() => this.dismiss(id), important ? IMPORTANT_TIME : PLAIN_TIME);
    return id;
  }

  dismiss(id: number): void {
    this.keep((n) => n.id !== id);
  }

  /** Takes back what is no longer true. */
  withdraw(key: string): void {
    this.keep((n) => n.key !== key);
  }

  private keep(wanted: (notice: Notice) => boolean): void {
    const now = this.list.get();
    if (!now.every(wanted)) this.list.set(now.filter(wanted));
  }
}

function newest(list: readonly Notice[]): Notice[] {
  const some = (limit: number, sort: (n: Notice) => boolean): readonly Notice[] =>
    list.filter(sort).slice(-limit);
  const kept = new Set([
    ...some(MAX_STICKY, (n) => n.sticky),
    ...some(MAX_IMPORTANT, (n) => !n.sticky && n.important),
    ...some(MAX_PLAIN, (n) => !n.sticky && !n.important),
  ]);
  return list.filter((n) => kept.has(n));
}
