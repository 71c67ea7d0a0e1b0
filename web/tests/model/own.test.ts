// The user's own microphone, hand and name.
import { describe, expect, it } from "vitest";
import { Own } from "../../src/model/own";
import { readConfig } from "../../src/protocol/config";
import { Ground, occupant } from "../fake-conference";

const page = { protocol: "https:", host: "m.example", hostname: "m.example", hash: "", search: "" };

class World extends Ground {
  readonly own = new Own({
    link: this.link,
    settings: this.settings,
    media: this.media,
    notices: this.notices,
    config: readConfig({ startAudioMuted: 1 }, page),
    nameOf: this.nameOf,
  });
}

describe("own media", () => {
  it("says who muted us", () => {
    const world = new World();
    world.conference.enter(occupant("b", "Bob"));
    world.conference.tell("mutedByModerator", { media: "audio", actor: "b" });
    world.conference.tell("mutedByModerator", { media: "video", actor: "" });
    expect(world.texts()).toEqual(["Bob muted your microphone", "You may not send video now."]);
  });

  it("starts muted in a crowd, but is not muted by a return to it", () => {
    const world = new World();
    const on = (): void => world.media.state.update((s) => ({ ...s, audioOn: true }));
    on();
    world.conference.enter(occupant("b"), occupant("c"));
    expect(world.texts()).toEqual(["You start muted because many people are here."]);
    const before = world.notices.list.get()[0]?.id;
    on();
    world.conference.forget();
    world.conference.enter(occupant("b"), occupant("c"));
    expect(world.notices.list.get()[0]?.id).toBe(before);
  });

  it("raises and lowers the hand, also for the others", () => {
    const world = new World();
    world.own.toggleHand();
    world.own.toggleHand();
    expect(world.conference.asked).toEqual([
      ["hand", true],
      ["hand", false],
    ]);
  });
});
