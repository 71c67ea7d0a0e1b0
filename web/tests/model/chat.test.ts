// Messages: who gets them, and what happens to those that cannot be sent.
import { describe, expect, it } from "vitest";
import { Chat } from "../../src/model/chat";
import { View } from "../../src/model/view";
import { Ground, occupant } from "../fake-conference";

class World extends Ground {
  readonly view = new View();
  readonly chat = new Chat({
    link: this.link,
    view: this.view,
    notices: this.notices,
    nameOf: this.nameOf,
    wallClock: () => 0,
  });

  get state() {
    return this.chat.state.get();
  }

  says(from: string, id: string, text = "hi", isPrivate = false): void {
    this.conference.tell("message", { id, from, text, isPrivate, sentAt: undefined });
  }

  write(text: string): void {
    this.chat.setDraft(text);
    this.chat.send();
  }
}

describe("incoming messages", () => {
  it("are counted as unread while the chat is closed, and repeated history is shown once", () => {
    const world = new World();
    world.conference.enter(occupant("b", "Bob"));
    world.says("b", "1");
    world.says("b", "1");
    world.says("me", "2");
    expect(world.state).toMatchObject({ unread: 1 });
    expect(world.state.entries).toHaveLength(2);
    expect(world.texts()).toEqual(["Bob: hi"]);
    world.view.togglePanel("chat");
    world.says("b", "3");
    expect(world.state.unread).toBe(0);
  });

  it("stay when the stay in the room is over", () => {
    const world = new World();
    world.conference.enter(occupant("b"));
    world.says("b", "1");
    world.conference.forget();
    expect(world.state.entries).toHaveLength(1);
  });
});

describe("a private message", () => {
  it("goes to its addressee and is shown here", () => {
    const world = new World();
    const room = world.conference.enter(occupant("b", "Bob"));
    world.chat.setTo("b");
    world.write("secret");
    expect(room.asked).toEqual([["message", "secret", "b"]]);
    expect(world.state.entries).toMatchObject([{ own: true, privateWith: "Bob", text: "secret" }]);
    expect(world.state.draft).toBe("");
  });

  it("is refused when its addressee has left, with the text kept and the reason said", () => {
    const world = new World();
    const room = world.conference.enter(occupant("b", "Bob"), occupant("c"));
    world.chat.setTo("b");
    world.chat.setDraft("secret");
    world.conference.goes("b");
    expect(world.state.to).toEqual({ id: "b", name: "Bob", here: false });
    world.chat.send();
    expect(room.asked).toEqual([]);
    expect(world.state.draft).toBe("secret");
    expect(world.state.error).toContain("Bob has left");
    world.chat.setTo(undefined);
    world.chat.send();
    expect(room.asked).toEqual([["message", "secret", undefined]]);
  });

  it("is refused after a return to the room too, where the addressee may be somebody new", () => {
    const world = new World();
    world.conference.enter(occupant("b", "Bob"));
    world.chat.setTo("b");
    world.conference.forget();
    const room = world.conference.enter(occupant("b2", "Bob"));
    world.write("secret");
    expect(room.asked).toEqual([]);
    expect(world.state.draft).toBe("secret");
  });

  it("comes back into the field when the server refuses it", () => {
    const world = new World();
    world.conference.enter(occupant("b", "Bob"));
    world.chat.setTo("b");
    world.write("secret");
    world.conference.tell("chatError", { id: "m1", condition: "item-not-found", detail: "" });
    expect(world.state.entries).toEqual([]);
    expect(world.state).toMatchObject({ draft: "secret", error: expect.stringContaining("Bob has left") });
  });
});

describe("without a connection", () => {
  it("nothing is sent and the text stays", () => {
    const world = new World();
    const room = world.conference.enter(occupant("b"));
    world.conference.become("reconnecting");
    world.write("hello");
    expect(room.asked).toEqual([]);
    expect(world.state).toMatchObject({ draft: "hello", error: expect.stringContaining("not connected") });
  });

  it("what the room never confirmed comes back into the field once the session is lost", () => {
    const world = new World();
    world.conference.enter(occupant("b"));
    world.write("first");
    world.write("second");
    world.says("me", "m1", "first");
    world.conference.forget();
    expect(world.state.draft).toBe("second");
  });
});
