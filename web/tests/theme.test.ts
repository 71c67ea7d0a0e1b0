// The colours of the style sheets: whatever text stands on can be told from it (WCAG 2.2, 1.4.3: 4.5 to 1).
import { describe, expect, it } from "vitest";
import overlayCss from "../src/app/overlay.css?raw";
import roomCss from "../src/app/room.css?raw";
import pageCss from "../src/app/style.css?raw";

const ENOUGH = 4.5;
/** For signs and borders (1.4.11). */
const ENOUGH_FOR_SIGNS = 3;

type Colour = readonly [number, number, number];

interface Rule {
  readonly selector: string;
  readonly declared: ReadonlyMap<string, string>;
}

function rulesOf(css: string): Rule[] {
  const plain = css
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/@media[^{]*\{((?:[^{}]*\{[^{}]*\})*)\s*\}/g, "$1");
  return [...plain.matchAll(/([^{}]+)\{([^{}]*)\}/g)].flatMap(([, selectors = "", body = ""]) => {
    const declared = new Map(
      body.split(";").flatMap((line): [string, string][] => {
        const colon = line.indexOf(":");
        return colon < 0 ? [] : [[line.slice(0, colon).trim(), line.slice(colon + 1).trim()]];
      }),
    );
    return selectors.split(",").map((selector) => ({ selector: selector.trim(), declared }));
  });
}

const rules = [...rulesOf(pageCss), ...rulesOf(overlayCss), ...rulesOf(roomCss)];
const variables = new Map(rules.filter((r) => r.selector === ":root").flatMap((r) => [...r.declared]));

function hsl(h: number, s: number, l: number): Colour {
  const part = (n: number): number => {
    const k = (n + h / 30) % 12;
    return 255 * (l - s * Math.min(l, 1 - l) * Math.max(-1, Math.min(k - 3, 9 - k, 1)));
  };
  return [part(0), part(8), part(4)];
}

function over(colour: Colour, alpha: number, below: Colour): Colour {
  return [0, 1, 2].map((i) => (colour[i] ?? 0) * alpha + (below[i] ?? 0) * (1 - alpha)) as unknown as Colour;
}

/** A colour as it is written, on top of `below` if it lets that through. */
function colourOf(written: string, below: Colour): Colour | undefined {
  const name = /^var\((--[\w-]+)\)/.exec(written)?.[1];
  if (name !== undefined) return colourOf(variables.get(name) ?? "", below);
  const hex = /^#([\da-f]{3}|[\da-f]{6})\b/i.exec(written)?.[1];
  if (hex !== undefined) {
    const full = hex.length === 3 ? [...hex].map((c) => c + c).join("") : hex;
    return [0, 2, 4].map((i) => Number.parseInt(full.slice(i, i + 2), 16)) as unknown as Colour;
  }
  const rgb = /^rgb\((\d+) (\d+) (\d+)(?: \/ (\d+)%)?\)/.exec(written);
  if (rgb === null) return undefined;
  const [r = 0, g = 0, b = 0, alpha = 100] = rgb.slice(1).map((v) => (v === undefined ? 100 : Number(v)));
  return over([r, g, b], alpha / 100, below);
}

function luminance(colour: Colour): number {
  const [r = 0, g = 0, b = 0] = colour.map((v) => {
    const x = v / 255;
    return x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: Colour, b: Colour): number {
  const [dark = 0, light = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

function named(name: string): Colour {
  const found = colourOf(`var(--${name})`, [0, 0, 0]);
  if (found === undefined) throw new Error(`no colour ${name}`);
  return found;
}

/** The rule without its states: a state that changes the background alone keeps the colour of the text. */
function base(selector: string): string {
  return selector.replace(/:(hover|active|focus-visible|not\([^)]*\)|focus)/g, "").replace(/\[[^\]]*\]/g, "");
}

/** What lies below things that let it through: the panel, and a picture that may be white. */
const BELOW: Readonly<Record<string, Colour>> = { surface: named("surface"), picture: [255, 255, 255] };

describe("the theme", () => {
  it("has text that can be read on every background", () => {
    const colours = new Map(
      rules.flatMap((r): [string, string][] => {
        const colour = r.declared.get("color");
        return colour === undefined || colour === "inherit" ? [] : [[r.selector, colour]];
      }),
    );
    const seen: string[] = [];
    for (const { selector, declared } of rules) {
      const background = declared.get("background") ?? declared.get("background-color");
      if (background === undefined || selector.includes("::")) continue;
      const onPicture = selector.startsWith(".tile-");
      const below = onPicture ? BELOW["picture"] : BELOW["surface"];
      const on = colourOf(background, below ?? [0, 0, 0]);
      const text = declared.get("color") ?? colours.get(base(selector)) ?? "var(--text)";
      const ink = on && colourOf(text, on);
      if (on === undefined || ink === undefined) continue;
      seen.push(selector);
      expect(contrast(ink, on), `${selector}: ${text} on ${background}`).toBeGreaterThanOrEqual(ENOUGH);
    }
    expect(seen).toContain(".button.primary");
    expect(seen).toContain(".button.primary:hover");
    expect(seen).toContain(".tool-danger:hover");
  });

  it.each(["bg", "surface", "raised"])("has hints, warnings and links that can be read on %s", (on) => {
    const link = colourOf(rules.find((r) => r.selector === "a")?.declared.get("color") ?? "", [0, 0, 0]);
    for (const ink of [named("text"), named("muted"), named("warn"), link])
      expect(contrast(ink ?? [0, 0, 0], named(on))).toBeGreaterThanOrEqual(ENOUGH);
    for (const sign of ["ring", "speaking"])
      expect(contrast(named(sign), named(on)), sign).toBeGreaterThanOrEqual(ENOUGH_FOR_SIGNS);
  });

  it("has initials that can be read in every colour a person can get", () => {
    const gradient = rules.find((r) => r.selector === ".avatar")?.declared.get("background") ?? "";
    const stops = [...gradient.matchAll(/hsl\((?:var|calc).*? (\d+)% (\d+)%\)/g)].map(([, s, l]) => [
      Number(s) / 100,
      Number(l) / 100,
    ]);
    expect(stops).toHaveLength(2);
    for (const [s = 0, l = 0] of stops)
      for (let hue = 0; hue < 360; hue++)
        expect(contrast([255, 255, 255], hsl(hue, s, l)), `hue ${hue}`).toBeGreaterThanOrEqual(ENOUGH);
  });
});
