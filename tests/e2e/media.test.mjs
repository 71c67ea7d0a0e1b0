// What people get over narrow, slow and lossy lines: `make e2e-media` runs all cases and ends with one line of JSON.
//
// MEDIA=all or MEDIA=down700,step chooses cases; without it nothing is run. MEDIA_SECONDS: how long each looks, 30 at first.
// A case is a function in a file of the folder `media`, `cases = { name: async (context, t) => result }`; its result becomes
// a member of the JSON line. It judges nothing: the machine may be busy, and what the figures must be is said elsewhere.
// MEDIA_WHY=1 prints what the bridge says of each receiver's line at the end of a case.
//
// Needs root (network namespaces and TAP devices).

import { readdirSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { after, before, test } from 'node:test';
import { launch } from './lib/browser.mjs';
import { createHosts } from './lib/hosts.mjs';
import { sample } from './lib/media.mjs';
import { join } from './lib/room.mjs';
import { pontoon } from './lib/server.mjs';
import { voiceArgs } from './lib/sound.mjs';

const chosen = (process.env.MEDIA ?? '').split(',').filter(Boolean);
const root = process.getuid() === 0;
const seconds = Number(process.env.MEDIA_SECONDS ?? 30);
const results = {};

let world, server;
const browsers = {};

/** The browser of a host with these field trials, started when it is needed first. */
function browserOf(host, trials = '') {
    // A relay's certificate is looked at apart from the pages'.
    const args = [ '--ignore-certificate-errors', ...voiceArgs(), ...trials ? [ `--force-fieldtrials=${trials}` ] : [] ];
    const executablePath = () => world.hosts[host].wrapper(process.env.CHROMIUM ?? '/usr/bin/chromium');

    browsers[host + trials] ??= launch({ executablePath: executablePath(), args });

    return browsers[host + trials];
}

/** Where the bridge tells what it knows, on its own host. */
const INSIGHT = '127.0.0.1:8080';
const ASK = `const read = path => fetch('http://${INSIGHT}' + path).then(answer => answer.json());
    read('/debug').then(({ conferences }) => Promise.all(Object.keys(conferences).map(id => read('/debug/' + id))))
        .then(all => console.log(JSON.stringify(Object.assign({}, ...all.map(({ endpoints }) => endpoints)))));`;

/** Where people come from: `senders` and `near` have good lines, `far` hangs on a cable with a network model. */
const context = {
    seconds,
    get hosts() {
        return world.hosts;
    },
    get server() {
        return server;
    },

    /**
     * Somebody on a host enters a room; `config` are options of the address, `height` that of the camera, `deployment` what
     * the deployment's configuration says otherwise, as a script, `trials` field trials of the browser.
     */
    async enter(host, room, name, { height = 360, config = {}, init = sample, deployment, trials } = {}) {
        return join(await browserOf(host, trials), `https://${world.hosts.meet.address}`, room, name,
            { config: { resolution: height, ...config }, init, deployment });
    },

    /** What the bridge says of every endpoint, by its id. */
    insight() {
        return JSON.parse(world.hosts.meet.exec(process.execPath, [ '-e', ASK ]));
    },

    /** What the bridge has counted of key frames and of video that was given up, by the names of its metrics. */
    counted() {
        const text = world.hosts.meet.exec(process.execPath, [ '-e',
            `fetch('http://${INSIGHT}/metrics').then(answer => answer.text()).then(text => console.log(text))` ]);
        const counts = text.matchAll(/^(\w*(?:keyframe|interrupted|layers|waited|paced|picture)\w*(?:{[^}]*})?) (\d+)$/gm);

        return Object.fromEntries(Array.from(counts, ([ , name, count ]) => [ name, Number(count) ]));
    },

    /** Everybody leaves. */
    async leave(pages) {
        await Promise.all(pages.map(page => page.context().close()));
    },

    /** The cable as it is without a model. */
    async freeCable() {
        await world.hosts.far.cable.set({ down: {}, up: {} });
    }
};

before(async () => {
    if (!root || chosen.length === 0) {
        return;
    }
    // Of public addresses: browsers connect to port 443 of private ones for pages alone.
    world = createHosts([ 'meet', 'senders', 'near', 'far' ], { cables: [ 'far' ], network: '203.0.113' });
    const { hosts } = world;

    server = pontoon([ 'up', '--https', '443', '--http', '80', '--udp', '10000', '--log', process.env.MEDIA_LOG ?? 'info' ],
        // As operators set it up: with the address that people use.
        { env: { PONTOON_BRIDGE_HTTP: INSIGHT, PONTOON_FRONT_PUBLIC_URL: `https://${hosts.meet.address}` }, start: hosts.meet.spawn.bind(hosts.meet) });
    await server.line(/joined the brewery/);
});

after(async () => {
    for (const browser of Object.values(browsers)) {
        await (await browser).close();
    }
    await server?.stop();
    world?.stop();
});

// After all that the test runner says.
process.on('exit', () => {
    if (chosen.length > 0) {
        console.log(`# ${cpus().length} processors, load ${loadavg()[0].toFixed(1)}, ${seconds} s a case`);
        console.log(JSON.stringify(results));
    }
});

const folder = new URL('media/', import.meta.url);

for (const file of readdirSync(folder).sort()) {
    const { cases } = await import(new URL(file, folder));

    for (const [ name, run ] of Object.entries(cases)) {
        const skip = !root || !(chosen.includes('all') || chosen.includes(name));

        test(name, { skip, timeout: 600_000 }, async t => {
            results[name] = await run(context, t);
            t.diagnostic(JSON.stringify(results[name]));
        });
    }
}
