// Bridges from plain observable state to components.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Size } from "../model/layout";
import type { Value } from "../model/observable";

/** The current value; the component is drawn again when it changes. */
export function useValue<T>(value: Value<T>): T {
  const [, redraw] = useState(0);
  useLayoutEffect(() => value.subscribe(() => redraw((n) => n + 1)), [value]);
  return value.get();
}

/** The inner size of an element, kept up to date. */
export function useSize<E extends HTMLElement>(): [{ current: E | null }, Size] {
  const ref = useRef<E>(null);
  const [size, setSize] = useState<Size>({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const element = ref.current;
    if (element === null) return undefined;
    const measure = (): void => {
      const style = getComputedStyle(element);
      const x = Number.parseFloat(style.paddingLeft) + Number.parseFloat(style.paddingRight);
      const y = Number.parseFloat(style.paddingTop) + Number.parseFloat(style.paddingBottom);
      setSize((s) => {
        const next = { width: element.clientWidth - x, height: element.clientHeight - y };
        return s.width === next.width && s.height === next.height ? s : next;
      });
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, size];
}

/** Calls back at an interval while mounted. */
export function useInterval(run: () => void, ms: number): void {
  const latest = useRef(run);
  latest.current = run;
  useEffect(() => {
    const timer = setInterval(() => latest.current(), ms);
    return () => clearInterval(timer);
  }, [ms]);
}

/** Moves the keyboard focus to an element when it appears. */
export function useInitialFocus<E extends HTMLElement>(): { current: E | null } {
  const ref = useRef<E>(null);
  useEffect(() => ref.current?.focus(), []);
  return ref;
}
