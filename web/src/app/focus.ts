// Where the keyboard focus goes when something opens over the page and when it goes away again.

import { useLayoutEffect } from "preact/hooks";

const FOCUSABLE =
  'a[href], button:not([disabled]), input:not([disabled]), select:not([disabled]), textarea:not([disabled]), [tabindex]:not([tabindex="-1"])';

/** The elements inside that the Tab key reaches, in order. */
function focusable(root: Element): HTMLElement[] {
  return [...root.querySelectorAll<HTMLElement>(FOCUSABLE)].filter((e) => e.getClientRects().length > 0);
}

/** Gives the focus to an element, or to where `fallback` points if that element is gone. */
export function focusOr(element: Element | null, fallback: string): void {
  const gone = !(element instanceof HTMLElement) || element === document.body || !element.isConnected;
  const target = gone ? document.querySelector<HTMLElement>(fallback) : element;
  target?.focus();
}

/** Gives the focus to the first element inside that takes it. */
export function focusInside(root: Element): void {
  focusable(root)[0]?.focus();
}

/**
 * Remembers where the focus was when the component appeared and gives it back when it goes away, unless the user
 * has moved on to something outside.
 *
 * @param fallback selector of what takes the focus when the place it came from is gone
 */
export function useReturnFocus(root: { readonly current: Element | null }, fallback: string): void {
  useLayoutEffect(() => {
    const before = document.activeElement;
    const element = root.current;
    return () => {
      const now = document.activeElement;
      const lost = now === null || now === document.body || element?.contains(now) === true;
      if (lost) focusOr(before, fallback);
    };
  }, []);
}

/** Keeps the Tab key among the elements of `root`. */
export function trapTab(event: KeyboardEvent, root: Element): void {
  if (event.key !== "Tab") return;
  const all = focusable(root);
  const [first] = all;
  const last = all.at(-1);
  if (first === undefined || last === undefined) return;
  const at = document.activeElement;
  if (event.shiftKey ? at === first || !root.contains(at) : at === last || !root.contains(at)) {
    event.preventDefault();
    (event.shiftKey ? last : first).focus();
  }
}
