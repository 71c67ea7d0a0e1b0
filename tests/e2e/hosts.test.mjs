// The parts on separate hosts: a meet node and two bridges behind firewalls, and people on a host of their own.
//
// Needs root (network namespaces and firewalls); skipped without.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { install } from './lib/installation.mjs';
import { decodes, join as enter } from './lib/room.mjs';

const skip = process.getuid() === 0 ? false : 'needs root';

let installation, world, browser, meet, bridges;

/** In the page: notes when a new frame of anybody else was shown. */
function watchFrames() {
    const counts = new WeakMap();

    globalThis.shown = [];
    setInterval(() => {
        for (const video of document.querySelectorAll('[data-testid=tile][data-local=false] video')) {
            const count = video.getVideoPlaybackQuality().totalVideoFrames;

            // An element that plays another track counts from nothing again.
            if (count > 0 && count !== counts.get(video)) {
                globalThis.shown.push(Date.now());
            }
            counts.set(video, count);
        }
    }, 20);
}

/** Enters the room in a page that notes its frames. */
function join(room, name) {
    return enter(browser, `https://${world.hosts.meet.address}`, room, name, { init: watchFrames });
}

/** Longest time without a new picture in the page since `from`. */
async function longestGap(page, from) {
    const { shown, now } = await page.evaluate(() => ({ shown: globalThis.shown, now: Date.now() }));

    return [ ...shown.filter(at => at >= from), now ]
        .reduce(([ gap, last ], at) => [ Math.max(gap, at - last), at ], [ 0, from ])[0];
}

/** Name of the bridge whose log says that it serves a conference that the log said nothing of before. */
async function bridgeOf(already) {
    return Promise.any(Object.entries(bridges)
        .filter(([ name ]) => !already.includes(name))
        .map(([ name, bridge ]) => bridge.line(/conference created/).then(() => name)));
}

before(async () => {
    if (skip) {
        return;
    }
    installation = await install();
    ({ world, browser, meet, bridges } = installation);
});

after(() => installation?.stop());

test('two rooms land on different bridges, and one survives the death of its bridge', { skip }, async t => {
    const first = await Promise.all([ join('north', 'Ann'), join('north', 'Ben') ]);

    await Promise.all(first.map(page => decodes(page, 1)));
    const north = await bridgeOf([]);

    const second = await Promise.all([ join('south', 'Cem'), join('south', 'Dia') ]);

    await Promise.all(second.map(page => decodes(page, 1)));
    const south = await bridgeOf([ north ]);

    assert.notEqual(north, south);
    const chosen = meet.lines.filter(line => line.includes('is placed on bridge'));

    for (const [ room, name ] of [ [ 'north', north ], [ 'south', south ] ]) {
        const id = /bridge (\S+) is ready/.exec(bridges[name].lines.join('\n'))[1];
        const word = new RegExp(`(room-[0-9a-f]+) is ${room}@`).exec(meet.lines.join('\n'))[1];
        const line = chosen.find(text => text.includes(word));

        assert.ok(line?.includes(id), `the meet node says that ${room} went to ${id}: ${chosen.join('\n')}`);
    }

    // The room of the bridge that dies comes back on the other one, in the same page.
    await Promise.all([ ...first, ...second ].map(page => page.evaluate(() => { globalThis.samePage = true; })));
    const { lines } = bridges[south];
    const transports = () => lines.filter(line => line.includes('transport connected')).length;
    const enough = transports() + first.length;
    const killed = Date.now();

    bridges[north].child.kill('SIGKILL');
    while (transports() < enough) {
        await first[0].waitForTimeout(50);
    }
    await Promise.all(first.map(page => decodes(page, 1)));
    const gaps = await Promise.all(first.map(page => longestGap(page, killed)));

    t.diagnostic(`pictures were back after ${gaps.join(' and ')} ms`);
    for (const page of [ ...first, ...second ]) {
        assert.ok(await page.evaluate(() => globalThis.samePage), 'no page was loaded again');
    }
    await Promise.all(second.map(page => decodes(page, 1)));
    const others = await Promise.all(second.map(page => longestGap(page, killed)));

    t.diagnostic(`the other room's longest time without a picture: ${others.join(' and ')} ms`);
});

test('the firewalls hold', { skip }, () => {
    const { meet: meetHost, people, bridge1 } = world.hosts;
    const reach = (from, host, port, seconds = 10) => {
        try {
            from.exec('timeout', [ String(seconds), 'bash', '-c', `exec 3<>/dev/tcp/${host.address}/${port}` ]);

            return true;
        } catch {
            return false;
        }
    };

    assert.ok(reach(people, meetHost, 443));
    assert.ok(reach(people, meetHost, 80));
    assert.ok(reach(bridge1, meetHost, 5222));
    assert.ok(!reach(people, meetHost, 5222, 2), 'only bridges reach the XMPP port');
});
