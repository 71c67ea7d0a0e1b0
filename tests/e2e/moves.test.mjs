// A bridge is drained under people with our client: what it costs them to see.
//
// Needs root (network namespaces and firewalls); skipped without.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { install } from './lib/installation.mjs';
import { decodes, join as enter } from './lib/room.mjs';
import { binary } from './lib/server.mjs';

const skip = process.getuid() === 0 ? false : 'needs root';

let installation, world, browser, meet, bridges;

before(async () => {
    if (!skip) {
        installation = await install();
        ({ world, browser, meet, bridges } = installation);
    }
});

after(() => installation?.stop());

/**
 * In the page: for each picture of somebody else, the longest time that it stood still, and the states that media were in; both
 * since `watched` was called.
 */
function watchStills() {
    const last = new Map();

    globalThis.watched = () => {
        globalThis.stills = {};
        globalThis.medias = [];
    };
    globalThis.watched();
    const look = now => {
        const media = globalThis.pontoon?.state().media;

        if (!globalThis.medias.includes(media)) {
            globalThis.medias.push(media);
        }
        for (const tile of document.querySelectorAll('[data-testid=tile][data-local=false]')) {
            const id = tile.dataset.endpointId;
            // While one element takes the place of another, either may show it.
            const counts = [ ...tile.querySelectorAll('video') ].map(v => v.getVideoPlaybackQuality().totalVideoFrames);
            const state = counts.join(' ');
            const before = last.get(id);

            if (before?.state !== state) {
                const gap = before ? now - before.at : 0;

                globalThis.stills[id] = Math.max(globalThis.stills[id] ?? 0, gap);
                last.set(id, { state, at: now });
            }
        }
        requestAnimationFrame(look);
    };

    requestAnimationFrame(look);
}

test('a drained bridge is left by three people without a gap', { skip }, async t => {
    const pages = [];

    for (const name of [ 'Eva', 'Fin', 'Gus' ]) {
        pages.push(await enter(browser, `https://${world.hosts.meet.address}`, 'west', name, { init: watchStills }));
    }
    await Promise.all(pages.map(page => decodes(page, 2)));
    await pages[0].waitForTimeout(3_000);
    const from = Object.keys(bridges).find(name => bridges[name].lines.some(line => line.includes('conference created')));
    const to = Object.keys(bridges).find(name => name !== from);
    const id = /bridge (\S+) is ready/.exec(bridges[from].lines.join('\n'))[1];
    const seen = async () => Promise.all(pages.map(page => page.evaluate(() => {
        const { stills, medias } = globalThis;

        globalThis.watched();

        return { still: Math.round(Math.max(...Object.values(stills))), medias };
    })));
    const longest = all => all.map(({ still }) => still).join(', ');

    await seen();
    await pages[0].waitForTimeout(4_000);
    t.diagnostic(`longest stills without a move: ${longest(await seen())} ms`);
    const order = drain => execFileSync(
        binary, [ 'drain', id, ...drain ], { env: { ...process.env, PONTOON_STATE_DIR: meet.stateDir }, encoding: 'utf8' });

    order([ '--stay' ]);
    await bridges[to].line(/conference created/);
    await bridges[from].line(/conference ended/);
    await pages[0].waitForTimeout(2_000);
    const moved = await seen();

    t.diagnostic(`longest stills with the move: ${longest(moved)} ms`);
    // Nobody was without a connection at any time.
    assert.deepEqual(moved.map(({ medias }) => medias), pages.map(() => [ 'connected' ]));
    await Promise.all(pages.map(page => decodes(page, 2)));
    order([ '--off' ]);
    await Promise.all(pages.map(page => page.context().close()));
});
