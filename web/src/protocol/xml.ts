// XML as XMPP uses it: a small immutable tree, a strict parser for one stanza and a writer.

/** An element with its resolved namespace. Text and child elements keep their order. */
export interface XmlElement {
  readonly name: string;
  readonly ns: string;
  readonly attrs: Readonly<Record<string, string>>;
  readonly children: readonly XmlNode[];
}

export type XmlNode = XmlElement | string;

/** What the element builder accepts: absent values are left out. */
export type XmlInput = XmlNode | null | undefined | false | readonly XmlInput[];

export class XmlError extends Error {
  override readonly name = "XmlError";
}

/** Nesting and size a stanza may have: whatever a server accepts, and what it adds to it. */
const MAX_DEPTH = 96;
const MAX_LENGTH = 8 * 1024 * 1024;

/** Builds an element; attributes with the value `undefined` are left out. */
export function el(
  name: string,
  ns: string,
  attrs: Readonly<Record<string, string | number | undefined>> = {},
  ...children: XmlInput[]
): XmlElement {
  const kept: Record<string, string> = {};
  for (const [key, value] of Object.entries(attrs)) {
    if (value !== undefined) kept[key] = String(value);
  }
  const list: XmlNode[] = [];
  appendAll(list, children);
  return { name, ns, attrs: kept, children: list };
}

function appendAll(list: XmlNode[], inputs: readonly XmlInput[]): void {
  for (const input of inputs) {
    if (input === null || input === undefined || input === false) continue;
    if (Array.isArray(input)) appendAll(list, input as readonly XmlInput[]);
    else list.push(input as XmlNode);
  }
}

/** Child elements, all or those with the given name and namespace. */
export function children(parent: XmlElement, name?: string, ns?: string): XmlElement[] {
  const found: XmlElement[] = [];
  for (const node of parent.children) {
    if (typeof node === "string") continue;
    if (name !== undefined && node.name !== name) continue;
    if (ns !== undefined && node.ns !== ns) continue;
    found.push(node);
  }
  return found;
}

/** The first child element with the given name and, if given, namespace. */
export function child(parent: XmlElement, name: string, ns?: string): XmlElement | undefined {
  for (const node of parent.children) {
    if (typeof node !== "string" && node.name === name && (ns === undefined || node.ns === ns)) return node;
  }
  return undefined;
}

/** The text directly inside an element; empty if there is none. */
export function text(element: XmlElement | undefined): string {
  if (element === undefined) return "";
  let out = "";
  for (const node of element.children) if (typeof node === "string") out += node;
  return out;
}

/** The text of the first child with that name, or undefined if there is no such child. */
export function childText(parent: XmlElement, name: string, ns?: string): string | undefined {
  const found = child(parent, name, ns);
  return found === undefined ? undefined : text(found);
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&apos;",
};

// Characters that XML 1.0 cannot carry at all, not even escaped.
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to remove
const NOT_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;

function escapeXml(value: string): string {
  return value.replace(NOT_XML, "").replace(/[&<>"']/g, (c) => ESCAPES[c] ?? c);
}

/** Writes an element; `xmlns` appears wherever the namespace differs from the parent's. */
export function serialize(element: XmlElement, parentNs = ""): string {
  let out = `<${element.name}`;
  if (element.ns !== parentNs) out += ` xmlns="${escapeXml(element.ns)}"`;
  for (const [key, value] of Object.entries(element.attrs)) out += ` ${key}="${escapeXml(value)}"`;
  if (element.children.length === 0) return `${out}/>`;
  out += ">";
  for (const node of element.children) {
    out += typeof node === "string" ? escapeXml(node) : serialize(node, element.ns);
  }
  return `${out}</${element.name}>`;
}

interface OpenElement {
  readonly qname: string;
  readonly name: string;
  readonly ns: string;
  readonly attrs: Record<string, string>;
  readonly children: XmlNode[];
  readonly scope: ReadonlyMap<string, string>;
}

const NAME = /[^\s/>=<"'&]+/y;
const SPACE = /\s*/y;

/** Parses one complete element, with an optional XML declaration before it. */
export function parse(input: string): XmlElement {
  if (input.length > MAX_LENGTH) throw new XmlError("the stanza is too large");
  return new Parser(input).run();
}

class Parser {
  private at = 0;
  private readonly open: OpenElement[] = [];
  private root: XmlElement | undefined;

  constructor(private readonly input: string) {}

  run(): XmlElement {
    this.skipSpace();
    if (this.input.startsWith("<?xml", this.at)) {
      const end = this.input.indexOf("?>", this.at);
      if (end < 0) throw new XmlError("unfinished declaration");
      this.at = end + 2;
    }
    while (this.at < this.input.length) {
      if (this.input.charCodeAt(this.at) === 0x3c) this.markup();
      else this.characters();
    }
    if (this.open.length > 0 || this.root === undefined) throw new XmlError("unfinished element");
    return this.root;
  }

  private characters(): void {
    const end = this.input.indexOf("<", this.at);
    const raw = this.input.slice(this.at, end < 0 ? undefined : end);
    this.at = end < 0 ? this.input.length : end;
    const top = this.open.at(-1);
    if (top !== undefined) top.children.push(unescapeXml(raw));
    else if (raw.trim() !== "") throw new XmlError("text outside of the element");
  }

  private markup(): void {
    if (this.input.startsWith("<![CDATA[", this.at)) {
      const end = this.input.indexOf("]]>", this.at);
      const top = this.open.at(-1);
      if (end < 0 || top === undefined) throw new XmlError("misplaced CDATA");
      top.children.push(this.input.slice(this.at + 9, end));
      this.at = end + 3;
    } else if (this.input.startsWith("<!", this.at) || this.input.startsWith("<?", this.at)) {
      throw new XmlError("comments, declarations and instructions are not allowed");
    } else if (this.input.startsWith("</", this.at)) {
      this.at += 2;
      this.closeTag(this.takeName());
    } else {
      this.at += 1;
      this.openTag();
    }
  }

  private openTag(): void {
    if (this.root !== undefined) throw new XmlError("more than one element");
    if (this.open.length >= MAX_DEPTH) throw new XmlError("nested too deeply");
    const qname = this.takeName();
    const attrs: Record<string, string> = {};
    const parent = this.open.at(-1);
    let scope = parent?.scope ?? new Map<string, string>();
    for (;;) {
      this.skipSpace();
      if (this.input.startsWith("/>", this.at) || this.input.startsWith(">", this.at)) break;
      const key = this.takeName();
      const value = this.takeValue();
      if (key === "xmlns" || key.startsWith("xmlns:")) {
        const wider = new Map(scope);
        wider.set(key === "xmlns" ? "" : key.slice(6), value);
        scope = wider;
      } else {
        attrs[key] = value;
      }
    }
    const colon = qname.indexOf(":");
    const ns = scope.get(colon < 0 ? "" : qname.slice(0, colon)) ?? "";
    this.open.push({
      qname,
      name: colon < 0 ? qname : qname.slice(colon + 1),
      ns,
      attrs,
      children: [],
      scope,
    });
    if (this.input.startsWith("/>", this.at)) {
      this.at += 2;
      this.finish();
    } else {
      this.at += 1;
    }
  }

  private closeTag(qname: string): void {
    this.skipSpace();
    if (this.open.at(-1)?.qname !== qname || !this.input.startsWith(">", this.at)) {
      throw new XmlError("mismatched end tag");
    }
    this.at += 1;
    this.finish();
  }

  private finish(): void {
    const done = this.open.pop();
    if (done === undefined) throw new XmlError("mismatched end tag");
    const element: XmlElement = { name: done.name, ns: done.ns, attrs: done.attrs, children: done.children };
    const parent = this.open.at(-1);
    if (parent === undefined) this.root = element;
    else parent.children.push(element);
  }

  private takeName(): string {
    NAME.lastIndex = this.at;
    const match = NAME.exec(this.input);
    if (match === null) throw new XmlError("a name is missing");
    this.at = NAME.lastIndex;
    return match[0];
  }

  private takeValue(): string {
    this.skipSpace();
    if (this.input[this.at] !== "=") throw new XmlError("an attribute without a value");
    this.at += 1;
    this.skipSpace();
    const quote = this.input[this.at];
    if (quote !== '"' && quote !== "'") throw new XmlError("an attribute value without quotes");
    const end = this.input.indexOf(quote, this.at + 1);
    if (end < 0) throw new XmlError("an unfinished attribute value");
    const raw = this.input.slice(this.at + 1, end);
    this.at = end + 1;
    return unescapeXml(raw);
  }

  private skipSpace(): void {
    SPACE.lastIndex = this.at;
    SPACE.exec(this.input);
    this.at = SPACE.lastIndex;
  }
}

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function unescapeXml(raw: string): string {
  if (!raw.includes("&")) return raw;
  return raw.replace(/&([^;&]*);?/g, (whole, name: string) => {
    if (name.startsWith("#") && whole.endsWith(";")) {
      const code = name[1] === "x" ? Number.parseInt(name.slice(2), 16) : Number.parseInt(name.slice(1), 10);
      if (Number.isInteger(code) && code > 0 && code <= 0x10ffff) return String.fromCodePoint(code);
    }
    const known = ENTITIES[name];
    if (known === undefined || !whole.endsWith(";")) throw new XmlError("an unknown entity");
    return known;
  });
}
