// XML parser and writer.
import { describe, expect, it } from "vitest";
import { child, childText, el, parse, serialize, text, XmlError } from "../src/protocol/xml";

describe("parse", () => {
  it("resolves prefixes and inherited namespaces", () => {
    const e = parse(
      '<stream:features xmlns:stream="urn:s" xmlns="urn:d"><bind xmlns="urn:b"><a/></bind><c/></stream:features>',
    );
    expect([e.name, e.ns]).toEqual(["features", "urn:s"]);
    expect(child(e, "bind", "urn:b")?.children).toEqual([
      { name: "a", ns: "urn:b", attrs: {}, children: [] },
    ]);
    expect(child(e, "c", "urn:d")).toBeDefined();
  });

  it("reads entities, character references, CDATA and both quotes", () => {
    const e = parse("<a b='1&lt;2 &quot;' c=\"it's\">&#x1F600;&amp;&#65;<![CDATA[<raw>]]></a>");
    expect(e.attrs).toEqual({ b: '1<2 "', c: "it's" });
    expect(text(e)).toBe("😀&A<raw>");
  });

  const bad: readonly [string, string][] = [
    ["empty", ""],
    ["two elements", "<a/><b/>"],
    ["text outside", "<a/>x"],
    ["unclosed", "<a><b></b>"],
    ["wrong end tag", "<a></b>"],
    ["comment", "<a><!-- x --></a>"],
    ["document type", "<!DOCTYPE a><a/>"],
    ["instruction inside", "<a><?x?></a>"],
    ["unknown entity", "<a>&nbsp;</a>"],
    ["bare ampersand", "<a>a & b</a>"],
    ["attribute without quotes", "<a b=c/>"],
    ["attribute without value", "<a b/>"],
    ["deep nesting", "<a>".repeat(100) + "</a>".repeat(100)],
  ];
  it.each(bad)("refuses %s", (_, input) => {
    expect(() => parse(input)).toThrow(XmlError);
  });
});

describe("serialize", () => {
  it("declares a namespace wherever it changes, and escapes", () => {
    const e = el(
      "iq",
      "jabber:client",
      { to: 'a"<', id: undefined },
      el("q", "urn:q", {}, "<&>", el("r", "urn:q")),
    );
    expect(serialize(e)).toBe(
      '<iq xmlns="jabber:client" to="a&quot;&lt;"><q xmlns="urn:q">&lt;&amp;&gt;<r/></q></iq>',
    );
  });

  it("reads back what it wrote", () => {
    const e = el(
      "m",
      "jabber:client",
      { a: "x'y" },
      el("body", "jabber:client", {}, "line\nüñ 🎉 \u0007end"),
    );
    expect(childText(parse(serialize(e)), "body")).toBe("line\nüñ 🎉 end");
  });
});
