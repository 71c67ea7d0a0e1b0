// Codecs that are sent as one scalable stream, in the built-in client: large on stage, and redundant audio beside it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from './lib/browser.mjs';
import { decodes, join } from './lib/room.mjs';
import { freeTcpPort, freeUdpPort, pontoon } from './lib/server.mjs';

const CODECS = [ 'VP9', 'AV1' ];
let browser;

before(async () => {
    browser = await launch();
});

after(() => browser?.close());

/** Keeps the page's peer connections, for their statistics. */
function keepConnections() {
    const Original = globalThis.RTCPeerConnection;

    globalThis.kept = [];
    globalThis.RTCPeerConnection = class extends Original {
        constructor(...options) {
            super(...options);
            globalThis.kept.push(this);
        }
    };
}

/** Height and codec of the video that arrives, and bytes of each packet of sound. */
async function arriving() {
    const found = {};

    for (const connection of globalThis.kept.filter(c => c.connectionState === 'connected')) {
        const report = await connection.getStats();

        report.forEach(entry => {
            if (entry.type !== 'inbound-rtp') {
                return;
            }
            if (entry.kind === 'video') {
                Object.assign(found, { height: entry.frameHeight, codec: report.get(entry.codecId)?.mimeType });
            } else {
                found.audioBytes = entry.bytesReceived / entry.packetsReceived;
            }
        });
    }

    return found;
}

for (const codec of CODECS) {
    test(`${codec} reaches its full height on stage`, async () => {
        const [ https, http, xmpp, udp ] = [ await freeTcpPort(), await freeTcpPort(), await freeTcpPort(), await freeUdpPort() ];
        const options = [ 'up', '--https', https, '--http', http, '--xmpp', xmpp, '--udp', udp ].map(String);
        const server = pontoon(options, { env: { PONTOON_CLIENT_CODECS: codec } });

        try {
            await server.line(new RegExp(`:${https}/`));
            const people = [];

            for (const name of [ 'Ann', 'Ben' ]) {
                people.push(await join(browser, `https://localhost:${https}`, 'stage', name,
                    { config: { resolution: 360 }, init: keepConnections }));
            }
            const [ ann ] = people;

            await decodes(ann, 1);
            await ann.click('[data-testid=tile][data-local=false]');
            await ann.waitForFunction(
                `(${arriving})().then(found => found.height >= 360 && found.codec === 'video/${codec}')`,
                undefined,
                { timeout: 60_000, polling: 500 });
            const { audioBytes } = await ann.evaluate(arriving);

            assert.ok(audioBytes > 0, `${audioBytes} bytes a packet of sound`);
            console.log(`${codec}: ${audioBytes} bytes a packet of sound`);
            await Promise.all(people.map(page => page.context().close()));
        } finally {
            await server.stop();
        }
    });
}
