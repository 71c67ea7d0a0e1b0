// Who is here and how they are, over several sessions.
import { describe, expect, it } from "vitest";
import { Own } from "../../src/model/own";
import { Roster } from "../../src/model/roster";
import { readConfig } from "../../src/protocol/config";
import { Ground, occupant } from "../fake-conference";

const page = { protocol: "https:", host: "m.example", hostname: "m.example", hash: "", search: "" };

class World extends Ground {
  readonly own = new Own({ ...this.parts(), config: readConfig(undefined, page), nameOf: this.nameOf });
  readonly roster = new Roster({ ...this.parts(), clock: this.clock }, this.own);

  private parts() {
    return { link: this.link, settings: this.settings, media: this.media, notices: this.notices };
  }

  async lost(): Promise<string[]> {
    await this.clock.advance(0);
    return this.roster.state
      .get()
      .people.filter((p) => p.connectionLost)
      .map((p) => p.id);
  }
}

describe("the roster", () => {
  it("shows everybody but those who are hidden, oneself first", async () => {
    const world = new World();
    world.conference.enter(occupant("b"), occupant("rec", "recorder", { hidden: true }));
    await world.clock.advance(0);
    expect(world.roster.state.get().people.map((p) => p.id)).toEqual(["me", "b"]);
  });

  it("says who came, left and was removed", () => {
    const world = new World();
    world.conference.enter();
    world.conference.comes(occupant("b", "Bob"));
    world.conference.goes("b", true);
    expect(world.texts()).toEqual(["Bob joined", "Bob was removed"]);
  });

  it("shows connection problems as long as the bridge says so", async () => {
    const world = new World();
    world.conference.enter(occupant("b"));
    world.conference.tell("connectivity", { endpoint: "b", active: false });
    expect(await world.lost()).toEqual(["b"]);
    world.conference.tell("connectivity", { endpoint: "b", active: true });
    expect(await world.lost()).toEqual([]);
  });

  it("forgets connection problems with the session that told of them", async () => {
    const world = new World();
    world.conference.enter(occupant("b"));
    const problem = (): void => world.conference.tell("connectivity", { endpoint: "b", active: false });
    problem();
    world.conference.tell("media", "none");
    expect(await world.lost()).toEqual([]);
    problem();
    world.conference.forget();
    world.conference.enter(occupant("b"));
    expect(await world.lost()).toEqual([]);
  });

  it("forgets everybody when the stay is over", async () => {
    const world = new World();
    world.conference.enter(occupant("b"));
    world.conference.forget();
    await world.clock.advance(0);
    expect(world.roster.state.get().people.map((p) => p.id)).toEqual(["me"]);
  });
});
