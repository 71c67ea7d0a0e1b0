// The state machine of the connection: whatever happens in whatever order, every state leads out.
import { describe, expect, it } from "vitest";
import { VirtualClock } from "../src/protocol/clock";
import {
  type Connection,
  type ConnectionEvent,
  conferenceState,
  type Effect,
  NOT_CONNECTED,
  transition,
} from "../src/protocol/connection";

/** What the machine has set going; each of these brings an event. */
interface World {
  readonly now: Connection;
  /** A question to the focus is on its way. */
  readonly asked: boolean;
  /** A join presence is on its way. */
  readonly entering: boolean;
  readonly timer: boolean;
}

const START: World = { now: NOT_CONNECTED, asked: false, entering: false, timer: false };

function apply(world: World, event: ConnectionEvent): World {
  const { next, effects } = transition(world.now, event);
  const moved = next.attempt !== world.now.attempt;
  const done = (kind: Effect["do"]): boolean => effects.some((e) => e.do === kind);
  return {
    now: next,
    asked: done("ask") || (!moved && world.asked),
    entering: done("enter") || (!moved && world.entering),
    timer: done("wait") || (!moved && world.timer),
  };
}

function events({ now }: World): ConnectionEvent[] {
  const { attempt } = now;
  const answers = [attempt, attempt - 1].flatMap((n): ConnectionEvent[] => [
    { type: "ready", attempt: n },
    { type: "later", attempt: n },
    { type: "timer", attempt: n },
  ]);
  return [
    { type: "join" },
    { type: "knock" },
    { type: "online", resumed: true },
    { type: "online", resumed: false },
    { type: "offline" },
    { type: "entered" },
    { type: "settled" },
    { type: "broken" },
    { type: "refused" },
    { type: "over" },
    ...answers,
  ];
}

/** Worlds that go on in the same way are one. */
function keyOf({ now, asked, entering, timer }: World): string {
  const { online, step, returning, tries, rejoins } = now;
  return JSON.stringify([
    online,
    step,
    returning,
    Math.min(tries, 3),
    Math.min(rejoins, 3),
    asked,
    entering,
    timer,
  ]);
}

/** Every world that some sequence of events leads to. */
function reachable(): World[] {
  const found = new Map([[keyOf(START), START]]);
  const open = [START];
  for (let world = open.pop(); world !== undefined; world = open.pop()) {
    for (const event of events(world)) {
      const next = apply(world, event);
      if (found.has(keyOf(next))) continue;
      found.set(keyOf(next), next);
      open.push(next);
    }
  }
  return [...found.values()];
}

const FINAL = ["in", "idle", "over", "knocking"];

/** The network is there and everybody answers; returns where that leads. */
function inFairWeather(start: World, resumed: boolean, silent: number): World {
  let world = start.now.online ? start : apply(start, { type: "online", resumed });
  // Those who should answer stay silent a few times first, so that only the timers help.
  let silence = silent;
  for (let steps = 0; steps < 50 && !FINAL.includes(world.now.step); steps++) {
    const { attempt } = world.now;
    if (world.asked && silence === 0) world = apply(world, { type: "ready", attempt });
    else if (world.entering && silence === 0) world = apply(world, { type: "entered" });
    else if (world.timer) {
      world = apply(world, { type: "timer", attempt });
      silence = Math.max(0, silence - 1);
    } else break;
  }
  return world;
}

describe("the connection", () => {
  const worlds = reachable();

  it("has as many states as one can look through", () => {
    expect(worlds.length).toBeGreaterThan(50);
    expect(worlds.length).toBeLessThan(2_000);
  });

  it.each([
    [true, 0],
    [false, 0],
    [true, 3],
    [false, 3],
  ])(
    "comes into the room, or to what only a person can change, from every state (resumed %s, %i silences)",
    (resumed, silent) => {
      for (const world of worlds) {
        const end = inFairWeather(world, resumed, silent);
        expect(FINAL, keyOf(world)).toContain(end.now.step);
      }
    },
  );

  it("stays wanted: nobody who was on the way in ends up outside without having been refused", () => {
    for (const world of worlds) {
      if (FINAL.includes(world.now.step) && world.now.step !== "in") continue;
      for (const resumed of [true, false]) expect(inFairWeather(world, resumed, 2).now.step).toBe("in");
    }
  });

  it("never waits for nothing while there is a connection", () => {
    for (const world of worlds) {
      const { step, online } = world.now;
      if (step === "due") expect(online, keyOf(world)).toBe(false);
      if (online && step === "asking") expect(world.asked && world.timer, keyOf(world)).toBe(true);
      if (online && step === "entering") expect(world.entering && world.timer, keyOf(world)).toBe(true);
      if (online && step === "waiting") expect(world.timer, keyOf(world)).toBe(true);
    }
  });

  it("is over for good once it is over", () => {
    for (const world of worlds.filter((w) => w.now.step === "over")) {
      for (const event of events(world)) {
        const next = apply(world, event);
        expect(next.now.step).toBe("over");
        expect(next.asked || next.entering || next.timer).toBe(false);
      }
    }
  });

  it("says joined only in the room with a connection", () => {
    for (const { now } of worlds) {
      expect(conferenceState(now) === "joined").toBe(now.step === "in" && now.online);
      if (now.step === "over") expect(conferenceState(now)).toBe("ended");
    }
  });

  it("waits at most four seconds between tries of somebody who comes back", () => {
    for (const world of worlds.filter((w) => w.now.returning)) {
      const { effects } = transition(world.now, { type: "later", attempt: world.now.attempt });
      for (const effect of effects) if (effect.do === "wait") expect(effect.ms).toBeLessThanOrEqual(4_000);
    }
  });

  it("forgets the room before it asks for it anew", () => {
    for (const world of worlds.filter((w) => w.now.step === "in")) {
      for (const event of events(world)) {
        const { next, effects } = transition(world.now, event);
        if (next.step === "in") continue;
        const kinds = effects.map((e) => e.do);
        const forgets = Math.max(kinds.indexOf("forget"), kinds.indexOf("leave"));
        expect(forgets, event.type).toBeGreaterThanOrEqual(0);
        if (kinds.includes("ask")) expect(forgets).toBeLessThan(kinds.indexOf("ask"));
      }
    }
  });

  it("runs on virtual time alone", async () => {
    const clock = new VirtualClock();
    let world = apply(apply(START, { type: "online", resumed: false }), { type: "join" });
    let timer: number | undefined;
    const drive = (event: ConnectionEvent): void => {
      const { effects } = transition(world.now, event);
      world = apply(world, event);
      const { attempt } = world.now;
      for (const effect of effects) {
        if (effect.do !== "wait") continue;
        clock.clearTimeout(timer);
        timer = clock.setTimeout(() => drive({ type: "timer", attempt }), effect.ms);
      }
    };
    drive({ type: "later", attempt: world.now.attempt });
    expect(world.now.step).toBe("waiting");
    await clock.advance(1_000);
    expect(world.now.step).toBe("asking");
  });
});
