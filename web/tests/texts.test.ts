// What is said to people stands in the catalogue, and names do not break what is around them.
import { describe, expect, it } from "vitest";
import { explain, explainDevice, explainRemoval } from "../src/model/explain";
import { displayName } from "../src/model/people";
import { texts } from "../src/model/texts";
import { ProtocolError } from "../src/protocol/errors";

const sources = import.meta.glob<string>("../src/app/**/*.tsx", {
  query: "?raw",
  import: "default",
  eager: true,
});

/** Names that are the same in every language. */
const PROPER = /^(Pontoon|Enter|Escape|Tab|Home|End|Arrow\w+|F|[A-Z])$/;

describe("the catalogue", () => {
  it("has all words: components have none of their own", () => {
    const found: string[] = [];
    for (const [file, source] of Object.entries(sources)) {
      const code = source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
      const attributes = [
        ...code.matchAll(/\s(?:aria-label|title|placeholder|label|closeLabel|alt)="([^"]+)"/g),
      ];
      const content = [...code.matchAll(/(?:[^=]>|\})\s*([A-Z][a-z]+(?: [\w’.,…]+)*)\s*(?:<\/|\{|$)/gm)];
      const strings = [...code.matchAll(/"([A-Z][a-z]+(?: [\w’.,…]+)+)"/g)];
      for (const [, words = ""] of [...attributes, ...content, ...strings])
        if (!PROPER.test(words)) found.push(`${file}: ${words}`);
    }
    expect(found).toEqual([]);
    expect(Object.keys(sources).length).toBeGreaterThan(8);
  });
});

describe("explanations", () => {
  it("repeat the server's words, and advise to try again only where that can help", () => {
    const words = "the room's name is too long";
    const refused = explain(new ProtocolError("conference-request-failed", words, "400"));
    expect(refused.hint).toBe(`The server says: “${words}”`);
    const busy = explain(new ProtocolError("conference-request-failed", "no bridge", "503"));
    expect(busy.hint).toBe("Try again in a moment. The server says: “no bridge”");
    expect(explain(new ProtocolError("conference-request-failed", "", "400")).hint).toBe(
      "Try again in a moment.",
    );
  });

  it("say who removed one, why, and that coming back is possible", () => {
    expect(explainRemoval("kicked", "Ann", "")).toEqual({
      title: "Ann removed you from the meeting.",
      hint: texts.out.kickedHint,
      over: true,
    });
    expect(explainRemoval("kicked", "", texts.kickReason).hint).toBe(texts.out.kickedHint);
    expect(explainRemoval("kicked", "", "too loud").hint).toContain("“too loud”");
    expect(explainRemoval("ended", "", "").hint).toBe("It was ended for everybody.");
  });

  it("say how to allow a device, to the browser, to the system or to the page around", () => {
    const denied = (message: string): Error => Object.assign(new Error(message), { name: "NotAllowedError" });
    expect(explainDevice("camera", denied("Permission denied"))).toMatch(/beside the address.*“Allow”/);
    expect(explainDevice("camera", denied("Permission denied by system"))).toContain(
      "system’s privacy settings",
    );
    expect(explainDevice("microphone", denied("Permission denied"), true)).toContain("window of its own");
  });
});

describe("names", () => {
  it("are cut when long, and cannot turn round what follows or break the line", () => {
    expect(Array.from(displayName("🎉".repeat(500)))).toHaveLength(81);
    expect(displayName("Ann\u202e\nB\u2066en")).toBe("Ann B en");
    expect(displayName(" \n\u202e ")).toBe("Guest");
  });
});
