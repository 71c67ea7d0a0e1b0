// The network of one person is cut for a while, in a meeting of two (direct) and in one of three (through the bridge).
// Each comes back by itself, in the same page, within ten seconds of the network, and says truly what goes on meanwhile.
//
// Needs root (network namespaces and firewalls); skipped without. `CUTS` lists what to cut and for how long, like
// `drop:60 link:300`; without it, two short ones. `make cuts` runs all lengths.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from './lib/browser.mjs';
import { createHosts } from './lib/hosts.mjs';
import { decodes, join, until } from './lib/room.mjs';
import { pontoon } from './lib/server.mjs';

const skip = process.getuid() === 0 ? false : 'needs root';
const cuts = (process.env.CUTS ?? 'drop:5 link:30').split(' ').map(cut => {
    const [ kind, seconds ] = cut.split(':');

    return { kind, seconds: Number(seconds) };
});

/** What is judged, milliseconds after the network is back, by the clock of the browsers. */
const BOUND = 10_000;
/** A cut this long, seconds, is long enough to be told to those who see it. */
const TOLD = 20;
/** How long anything is waited for on a machine that has other things to do. */
const PATIENCE = 90_000;

const CUT = 'Cleo';
const meetings = {
    pair: { others: [ 'Ann' ], config: { 'p2p.enabled': true } },
    trio: { others: [ 'Ben', 'Dia' ], config: {} }
};

let world, server;
const browsers = {};

/** In the page: notes when frames of whom were shown, and what the page says about the connections. */
function observe() {
    const counts = new WeakMap();
    const frames = {};
    const says = [];

    globalThis.seen = { frames, says };
    setInterval(() => {
        const now = Date.now();
        const state = document.querySelector('[data-testid=connection-state]')?.dataset.state ?? '';
        const problems = [];

        for (const tile of document.querySelectorAll('[data-testid=tile][data-local=false]')) {
            const name = tile.querySelector('.tile-name')?.textContent ?? '';
            const video = tile.querySelector('video');
            const count = video?.getVideoPlaybackQuality().totalVideoFrames ?? 0;

            // An element that plays another track counts from nothing again.
            if (count > 0 && count !== counts.get(video)) {
                (frames[name] ??= []).push(now);
            }
            counts.set(video, count);
            if (tile.querySelector('.tile-banner')) {
                problems.push(name);
            }
        }
        const line = JSON.stringify([ state, ...problems ]);

        if (says.at(-1)?.line !== line) {
            says.push({ line, at: now, state, problems });
        }
    }, 25);
}

const seen = page => page.evaluate(() => globalThis.seen);
const saysNow = async page => (await seen(page)).says.at(-1);

/** Waits until the page shows live pictures of these people and says that all is well; tells what it shows if it does not. */
async function isWell(page, names, since) {
    try {
        await page.waitForFunction(
            ({ list, from }) => {
                const { frames, says } = globalThis.seen;
                const last = says.at(-1);

                return last?.state === 'connected' && last.problems.length === 0
                    && list.every(name => (frames[name]?.at(-1) ?? 0) > Math.max(from, Date.now() - 2_000));
            },
            { list: names, from: since },
            { timeout: PATIENCE, polling: 200 });
    } catch (error) {
        const pages = Object.values(meetings).flatMap(meeting => [ meeting.page, ...meeting.pages ]);
        const shown = await Promise.all(pages.map(async one => `${one === page ? 'this page' : 'another'}: ${await describe(one)}`));

        throw new Error(`${names.join(' and ')}: ${error.message}\n${shown.join('\n')}\nserver:\n${server.lines.join('\n')}`,
            { cause: error });
    }
}

/** All that can be said of a page: its words, its pictures, its connections. */
function describe(page) {
    return page.evaluate(async () => {
        const { frames, says } = globalThis.seen;
        const ago = at => `${((Date.now() - at) / 1000).toFixed(1)} s ago`;
        const tiles = [ ...document.querySelectorAll('[data-testid=tile]') ].map(tile => ({
            name: tile.querySelector('.tile-name')?.textContent,
            id: tile.dataset.endpointId,
            banner: tile.querySelector('.tile-banner')?.textContent,
            videos: [ ...tile.querySelectorAll('video') ].map(video => ({
                frames: video.getVideoPlaybackQuality().totalVideoFrames,
                ready: video.readyState,
                paused: video.paused,
                tracks: video.srcObject?.getTracks().map(({ id, muted, readyState }) => ({ id, muted, readyState }))
            }))
        }));

        return JSON.stringify({
            says: says.map(({ at, line }) => `${ago(at)} ${line}`),
            frames: Object.entries(frames).map(([ name, list ]) => `${name}: ${list.length}, last ${ago(list.at(-1))}`),
            tiles,
            stats: await globalThis.pontoon.stats(),
            state: globalThis.pontoon.state()
        }, undefined, 1);
    }).catch(String);
}

/** When, after `since`, the page showed everybody and said for good that all is well. */
async function wellAt(page, names, since) {
    const { frames, says } = await seen(page);
    const pictures = names.map(name => frames[name].find(at => at > since));
    const { at } = says.at(-1);

    return Math.max(...pictures, at) - since;
}

/** What the page said since `from`, for the report. */
async function story(page, from) {
    const { says } = await seen(page);

    return says.filter(({ at }) => at >= from).map(({ at, line }) => `${((at - from) / 1000).toFixed(1)} s ${line}`).join(', ');
}

before(async () => {
    if (skip) {
        return;
    }
    world = createHosts([ 'meet', 'stays', 'cut' ]);
    const { hosts } = world;

    server = pontoon([ 'up', '--https', '443', '--http', '80', '--udp', '10000', '--log', 'info' ],
        { start: hosts.meet.spawn.bind(hosts.meet) });
    await server.line(/:443\/|https:\/\//);
    for (const name of [ 'stays', 'cut' ]) {
        browsers[name] = await launch({ executablePath: hosts[name].wrapper(process.env.CHROMIUM ?? '/usr/bin/chromium') });
    }
    for (const [ room, meeting ] of Object.entries(meetings)) {
        const enter = (browser, name) =>
            join(browser, `https://${hosts.meet.address}`, room, name, { config: meeting.config, init: observe });

        meeting.pages = [];
        for (const name of meeting.others) {
            meeting.pages.push(await enter(browsers.stays, name));
        }
        meeting.page = await enter(browsers.cut, CUT);
        await Promise.all([ meeting.page, ...meeting.pages ].map(page => page.evaluate(() => { globalThis.samePage = true; })));
    }
});

after(async () => {
    await Promise.all(Object.values(browsers).map(browser => browser.close()));
    await server?.stop();
    world?.stop();
});

async function allWell(since) {
    for (const { page, pages, others } of Object.values(meetings)) {
        await isWell(page, others, since);
        await Promise.all(pages.map((other, n) => isWell(other, [ CUT, ...others.filter((_, i) => i !== n) ], since)));
        await decodes(page, others.length, { timeout: PATIENCE });
    }
}

for (const { kind, seconds } of cuts) {
    test(`after ${seconds} s without network (${kind}) everybody is back within ten seconds`, { skip, timeout: seconds * 1000 + 300_000 }, async t => {
        const host = world.hosts.cut;

        await allWell(0);
        const { page: first } = meetings.pair;
        const direct = page => until(
            page, async () => (await globalThis.pontoon.stats()).p2p, undefined, { timeout: PATIENCE });

        await direct(first);
        const from = Date.now();

        host.disconnect(kind);
        let mended;

        try {
            await first.waitForTimeout(seconds * 1000);
            if (seconds >= TOLD) {
                for (const [ room, { page, pages } ] of Object.entries(meetings)) {
                    const { state } = await saysNow(page);

                    assert.ok([ 'reconnecting', 'interrupted', 'joining' ].includes(state), `${room}: who is cut off reads ${state}`);
                    for (const other of pages) {
                        const { problems } = await saysNow(other);
                        const gone = await other.evaluate(
                            name => ![ ...document.querySelectorAll('.tile-name') ].some(e => e.textContent === name), CUT);

                        assert.ok(gone || problems.includes(CUT), `${room}: the others read of ${CUT}: ${await story(other, from)}`);
                    }
                }
            }
        } finally {
            host.reconnect(kind);
            mended = Date.now();
        }
        try {
            await allWell(mended);
        } finally {
            for (const [ room, { page, pages } ] of Object.entries(meetings)) {
                t.diagnostic(`${room}: ${CUT} read: ${await story(page, from)}; the others: ${await story(pages[0], from)}`);
            }
        }
        for (const [ room, { page, pages, others } ] of Object.entries(meetings)) {
            const own = await wellAt(page, others, mended);
            const seenBy = await Promise.all(pages.map(other => wellAt(other, [ CUT ], mended)));

            t.diagnostic(`${room}: back after ${own} ms, seen by the others after ${seenBy.join(' and ')} ms`);
            for (const ms of [ own, ...seenBy ]) {
                assert.ok(ms <= BOUND, `${room}: ${ms} ms after the network was back`);
            }
            for (const one of [ page, ...pages ]) {
                assert.ok(await one.evaluate(() => globalThis.samePage), 'no page was loaded again');
            }
        }
    });
}
