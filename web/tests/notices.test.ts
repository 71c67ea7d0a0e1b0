// Notices: which stay, which replace each other, which go by themselves.
import { describe, expect, it } from "vitest";
import { Notices } from "../src/model/notices";
import { VirtualClock } from "../src/protocol/clock";

function world() {
  const clock = new VirtualClock();
  const notices = new Notices(clock);
  const shown = (): string[] => notices.list.get().map((n) => n.text);
  return { clock, notices, shown };
}

describe("notices", () => {
  it("go after a while, important ones later, those with something to do never", async () => {
    const { clock, notices, shown } = world();
    notices.show("plain");
    notices.show("loud", { important: true });
    notices.show("choose", { actions: [{ label: "Yes", testid: "yes", run: () => undefined }] });
    await clock.advance(5_000);
    expect(shown()).toEqual(["loud", "choose"]);
    await clock.advance(60_000);
    expect(shown()).toEqual(["choose"]);
  });

  it("about the same thing replace each other, and can be taken back", () => {
    const { notices, shown } = world();
    notices.show("Ann asks to join", { key: "knock", sticky: true });
    notices.show("Ann and Ben ask to join", { key: "knock", sticky: true });
    notices.show("same");
    notices.show("same");
    expect(shown()).toEqual(["Ann and Ben ask to join", "same"]);
    notices.withdraw("knock");
    expect(shown()).toEqual(["same"]);
  });

  it("do not pile up, and plain ones never push out others", () => {
    const { notices, shown } = world();
    notices.show("stays", { sticky: true });
    notices.show("loud", { important: true });
    for (let n = 0; n < 9; n++) notices.show(`plain ${n}`);
    expect(shown()).toEqual(["stays", "loud", "plain 7", "plain 8"]);
  });
});
