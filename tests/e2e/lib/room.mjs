// People in a room of the built-in client.

const tile = name => `[data-testid=tile][data-local=false]:has-text("${name}")`;

/** The options of the address that make a page fit for tests; `more` are further `config.` keys. */
export function roomUrl(base, room, name, more = {}) {
    const config = { resolution: 180, 'prejoinConfig.enabled': false, 'p2p.enabled': false, ...more };
    const options = Object.entries(config).map(([ key, value ]) => `config.${key}=${JSON.stringify(value)}`);

    return `${base}/${room}#${[ ...options, `userInfo.displayName="${name}"` ].join('&')}`;
}

/**
 * Opens the room in a page of its own and waits until it is entered. `init`, one function or several, runs in the page before
 * anything else, `deployment` as soon as the server's `config.js` has said `config`, which it may change.
 */
export async function join(browser, base, room, name, { config, init, deployment } = {}) {
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    const page = await context.newPage();

    if (deployment) {
        // Not by changing the answer on its way: this process may be on another host than the browser.
        await page.addInitScript(`{
            let kept;

            Object.defineProperty(globalThis, 'config', { configurable: true, get: () => kept, set(config) {
                kept = config;
                ${deployment}
            } });
        }`);
    }

    for (const script of [ init ?? [] ].flat()) {
        await page.addInitScript(script);
    }
    await page.goto(roomUrl(base, room, name, config));
    await inRoom(page);

    return page;
}

/** Waits until the page has entered its room; says what the page shows instead if it does not. */
export async function inRoom(page) {
    try {
        await page.waitForFunction(() => globalThis.pontoon?.state().page === 'room');
    } catch (error) {
        const shown = await page.evaluate(
            () => `${JSON.stringify(globalThis.pontoon?.state())}\n${document.body.innerText.slice(0, 300)}`).catch(String);

        throw new Error(`${error.message}\nthe page: ${shown}`, { cause: error });
    }
}

/**
 * Waits until an async function says yes in the page. (`waitForFunction` is for functions that answer at once: it takes a
 * promise for a yes.)
 */
export async function until(page, predicate, arg, { timeout = 40_000, polling = 500 } = {}) {
    const deadline = Date.now() + timeout;

    while (!await page.evaluate(predicate, arg)) {
        if (Date.now() > deadline) {
            throw new Error(`${timeout} ms passed, and it is not so: ${predicate}`);
        }
        await page.waitForTimeout(polling);
    }
}

/** Waits until the page decodes pictures and hears packets of `others` people, still rising. */
export async function decodes(page, others, { timeout = 40_000, sound = true } = {}) {
    await page.evaluate(() => { globalThis.measured = undefined; });
    await until(
        page,
        async ({ count, heard }) => {
            const before = globalThis.measured;
            const now = await globalThis.pontoon.stats();

            globalThis.measured = now;
            const rising = (list, key) => now[list].filter(entry => {
                const old = before?.[list].find(other => other.source === entry.source);

                return old && entry[key] > old[key];
            }).length;

            return rising('inboundVideo', 'framesDecoded') >= count
                && (!heard || rising('inboundAudio', 'packetsReceived') >= count);
        },
        { count: others, heard: sound },
        { timeout });
}

/** Waits until sound of every other is more than silence. */
export function hears(page, others, timeout = 40_000) {
    return until(
        page,
        async count => {
            const { inboundAudio } = await globalThis.pontoon.stats();

            return inboundAudio.filter(entry => entry.totalAudioEnergy > 0).length >= count;
        },
        others,
        { timeout });
}

/** Waits until the page shows exactly these people besides its own. */
export async function shows(page, names) {
    await Promise.all(names.map(name => page.waitForSelector(tile(name))));
    await page.waitForFunction(
        count => document.querySelectorAll('[data-testid=tile][data-local=false]').length === count,
        names.length);
}

/** Waits until the tile of somebody says that the microphone (or camera) is off, or on. */
export function isMuted(page, name, media, muted) {
    return page.waitForSelector(`${tile(name)} >> xpath=self::*[@data-${media}-muted="${muted}"]`);
}
