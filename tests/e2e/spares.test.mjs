// A bridge is killed under people with our client who have spare connections: what it costs them to hear and see.
//
// Needs root (network namespaces and firewalls); skipped without.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { longestGap, observe } from './lib/gaps.mjs';
import { install } from './lib/installation.mjs';
import { decodes, join as enter } from './lib/room.mjs';
import { binary } from './lib/server.mjs';
import { voiceArgs } from './lib/sound.mjs';

const skip = process.getuid() === 0 ? false : 'needs root';

let installation;

before(async () => {
    if (!skip) {
        installation = await install({ meet: [ '--set', 'focus.standby=true' ], args: voiceArgs() });
    }
});

after(() => installation?.stop());

/** In the page: its connections, when sound of anybody was played, and the states that media were in. */
function listen() {
    let newest = 0;

    globalThis.connections = [];
    globalThis.heard = [];
    globalThis.medias = [];
    globalThis.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...args) {
            super(...args);
            globalThis.connections.push(this);
        }
    };
    setInterval(() => {
        const receivers = globalThis.connections.flatMap(c => c.getReceivers()).filter(({ track }) => track.kind === 'audio');
        const last = Math.max(newest, ...receivers.flatMap(r => r.getSynchronizationSources()).map(({ timestamp }) => timestamp));
        const media = globalThis.pontoon?.state().media;

        if (last > newest) {
            newest = last;
            globalThis.heard.push(Date.now());
        }
        if (media !== globalThis.medias.at(-1)) {
            globalThis.medias.push(media);
        }
    }, 10);
}

/** Longest time without sound of anybody in the page since `from`. */
async function longestSilence(page, from) {
    const { heard, now } = await page.evaluate(() => ({ heard: globalThis.heard, now: Date.now() }));

    return [ ...heard.filter(at => at >= from), now ]
        .reduce(([ gap, last ], at) => [ Math.max(gap, at - last), at ], [ 0, from ])[0];
}

test('a killed bridge costs three people with spare connections a moment', { skip }, async t => {
    const { world, browser, meet, bridges } = installation;
    const pages = [];

    for (const name of [ 'Ida', 'Jon', 'Kim' ]) {
        pages.push(await enter(browser, `https://${world.hosts.meet.address}`, 'south', name, { init: [ observe, listen ] }));
    }
    await Promise.all(pages.map(page => decodes(page, 2)));
    const env = { ...process.env, PONTOON_STATE_DIR: meet.stateDir };
    const meeting = () => JSON.parse(execFileSync(binary, [ 'status', '--json' ], { env, encoding: 'utf8' })).meetings[0];
    const connected = () => globalThis.connections.filter(c => c.connectionState === 'connected').length === 2;

    await Promise.all(pages.map(page => page.waitForFunction(connected)));
    const { bridges: [ home ], spares } = meeting();

    assert.equal(spares.people, 3);
    const from = Object.keys(bridges).find(name => bridges[name].lines.some(line => line.includes(`bridge ${home.bridge} is ready`)));

    await pages[0].waitForTimeout(4_000);
    const calm = await Promise.all(pages.map(async page => [ await longestSilence(page, Date.now() - 3_000), await longestGap(page, Date.now() - 3_000) ]));

    t.diagnostic(`longest without sound, without a picture before: ${calm.map(([ a, v ]) => `${a}, ${v}`).join('; ')} ms`);
    await Promise.all(pages.map(page => page.evaluate(() => { globalThis.medias = []; })));
    const at = Date.now();

    bridges[from].child.kill('SIGKILL');
    await pages[0].waitForTimeout(4_000);
    const gaps = await Promise.all(pages.map(async page => [ await longestSilence(page, at), await longestGap(page, at) ]));

    t.diagnostic(`longest without sound, without a picture: ${gaps.map(([ a, v ]) => `${a}, ${v}`).join('; ')} ms`);
    await Promise.all(pages.map(page => decodes(page, 2)));
    for (const page of pages) {
        const { medias, made } = await page.evaluate(() => ({ medias: globalThis.medias, made: globalThis.connections.length }));

        assert.deepEqual(medias, [ 'connected' ], 'nobody was without a connection at any time');
        assert.equal(made, 2, 'nobody needed another connection');
    }
    const { bridges: [ place ] } = meeting();

    assert.equal(place.bridge, spares.bridge);
});
