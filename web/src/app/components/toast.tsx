// The one toast: a notice over the page, with what can be done about it.

import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import type { Notice, Notices } from "../../model/notices";
import { texts } from "../../model/texts";
import { uppermost } from "../covers";
import { focusInside, focusOr } from "../focus";
import { useValue } from "../hooks";
import { Icon } from "../icons";

export function Toasts({ notices }: { notices: Notices }): JSX.Element {
  const list = useValue(notices.list);
  const before = useRef<Element | null>(null);
  const root = useRef<HTMLElement>(null);
  const close = (notice: Notice): void => {
    const inside = root.current?.contains(document.activeElement) === true;
    notices.dismiss(notice.id);
    if (!inside) return;
    const cover = uppermost();
    // What the focus came from may itself be covered by now.
    if (cover === undefined || cover.contains(before.current)) focusOr(before.current, ".room, main");
    else focusInside(cover);
  };
  const toast = (notice: Notice): JSX.Element => (
    <div
      class={`notice${notice.important ? " important" : ""}`}
      key={notice.id}
      data-testid="notice"
      data-key={notice.key}
    >
      {notice.important && <Icon name="alert" size={18} />}
      <div class="notice-body">
        <span>{notice.text}</span>
        {notice.actions.length > 0 && (
          <div class="notice-actions">
            {notice.actions.map((action) => (
              <button
                type="button"
                class={`button small${action.primary ? " primary" : ""}`}
                key={action.testid}
                data-testid={action.testid}
                onClick={() => {
                  close(notice);
                  action.run();
                }}
              >
                {action.label}
              </button>
            ))}
          </div>
        )}
      </div>
      <button
        type="button"
        class="icon-button"
        aria-label={texts.dismiss}
        data-testid="notice-dismiss"
        onClick={() => close(notice)}
      >
        <Icon name="close" size={16} />
      </button>
    </div>
  );
  return (
    <section
      ref={root}
      class="notices"
      aria-label={texts.notices}
      onFocusIn={(event) => {
        const from = event.relatedTarget;
        if (from instanceof Element && root.current?.contains(from) !== true) before.current = from;
      }}
    >
      {/* Both are there from the start: a region that appears with its words is not read out. */}
      <div class="notice-region" role="status">
        {list.filter((n) => !n.important).map(toast)}
      </div>
      <div class="notice-region" role="alert">
        {list.filter((n) => n.important).map(toast)}
      </div>
    </section>
  );
}
