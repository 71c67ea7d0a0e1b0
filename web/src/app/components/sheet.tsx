// The one sheet: stands beside the pictures, or covers them where there is no room for both.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { cover } from "../covers";
import { trapTab, useReturnFocus } from "../focus";
import { Icon } from "../icons";

/** As in the style sheet: from here down a sheet covers the page. */
const COVERING = "(max-width: 820px)";

export interface SheetProps {
  readonly title: string;
  readonly closeLabel: string;
  readonly testid: string;
  /** Test id of the button that opens it, which takes the focus when nothing else can. */
  readonly opener: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}

export function Sheet({ title, closeLabel, testid, opener, onClose, children }: SheetProps): JSX.Element {
  const ref = useRef<HTMLDivElement>(null);
  const heading = useId();
  const covering = useMedia(COVERING);
  useReturnFocus(ref, `[data-testid="${opener}"]`);
  useLayoutEffect(() => (covering && ref.current !== null ? cover(ref.current) : undefined), [covering]);
  return (
    <div
      ref={ref}
      class="panel"
      role="dialog"
      aria-modal={covering}
      aria-labelledby={heading}
      data-testid={testid}
      onKeyDown={(event) => covering && trapTab(event, event.currentTarget)}
    >
      <header class="panel-head">
        <h2 id={heading}>{title}</h2>
        <button type="button" class="icon-button" aria-label={closeLabel} onClick={onClose}>
          <Icon name="close" size={20} />
        </button>
      </header>
      {children}
    </div>
  );
}

function useMedia(query: string): boolean {
  const [matches, setMatches] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const update = (): void => setMatches(list.matches);
    update();
    list.addEventListener("change", update);
    return () => list.removeEventListener("change", update);
  }, [query]);
  return matches;
}
