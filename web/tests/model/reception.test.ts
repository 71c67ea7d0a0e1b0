// What is asked of the bridge, and when.
import { describe, expect, it } from "vitest";
import { Value } from "../../src/model/observable";
import type { Person } from "../../src/model/people";
import { Reception } from "../../src/model/reception";
import type { Roster, RosterState } from "../../src/model/roster";
import type { Stage, StageState } from "../../src/model/stage";
import { Ground } from "../fake-conference";

class World extends Ground {
  readonly people = new Value<RosterState>({ people: [], tiles: [], moderator: false });
  readonly onStage = new Value<StageState>({ stage: undefined, speaker: "" });
  readonly reception = new Reception({
    link: this.link,
    clock: this.clock,
    roster: { state: this.people } as unknown as Roster,
    stage: { state: this.onStage } as unknown as Stage,
    lastN: -1,
    maxHeight: 720,
  });

  async asked(): Promise<unknown[]> {
    await this.clock.advance(100);
    return this.conference.asked.map(([, constraints]) => constraints);
  }
}

describe("reception", () => {
  it("asks once for several changes, and not again for the same", async () => {
    const world = new World();
    const person = { id: "b", local: false, videoSource: "b-v0", screenSource: "" } as Person;
    world.people.set({ people: [person], tiles: [{ key: "b", person, screen: false }], moderator: false });
    world.reception.showTiles(new Map([["b", 300]]));
    expect(await world.asked()).toMatchObject([{ lastN: -1, constraints: { "b-v0": { maxHeight: 360 } } }]);
    world.reception.showTiles(new Map([["b", 310]]));
    expect(await world.asked()).toHaveLength(1);
    world.reception.setMaxHeight(180);
    expect((await world.asked()).at(-1)).toMatchObject({ constraints: { "b-v0": { maxHeight: 180 } } });
  });

  it("wants no pictures in the background after a while", async () => {
    const world = new World();
    world.reception.setHidden(true);
    await world.clock.advance(15_000);
    expect((await world.asked()).at(-1)).toMatchObject({ lastN: 0 });
    world.reception.setHidden(false);
    expect((await world.asked()).at(-1)).toMatchObject({ lastN: -1 });
  });

  it("tells another conference anew", async () => {
    const world = new World();
    world.reception.setMaxHeight(360);
    await world.asked();
    world.link.replace();
    expect(await world.asked()).toHaveLength(1);
  });
});
