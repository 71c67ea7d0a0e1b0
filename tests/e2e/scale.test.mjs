// The reference installation, whole: a meet node and three bridges behind the guide's firewall, meetings on them, and what
// happens to people when parts of it are killed, stopped, cut off, drained, upgraded and restarted.
//
// `make e2e-scale` installs it from packages and ends with one line of JSON (SCALE=packages); FULL=1 does everything more
// often, and has the meet node away for ten minutes. Without SCALE it is a smaller run, without packages. SCALE_EVENTS=kill,stop
// chooses. Judged is what must be so on any machine: nobody is lost, and what need not move does not. The figures are told.
//
// Needs root (network namespaces and firewalls); the packages, what `make deb-test` needs too.

import assert from 'node:assert/strict';
import { cpus, loadavg } from 'node:os';
import { after, before, test } from 'node:test';
import { EVENTS } from './scale/events.mjs';
import { BRIDGES, createNetwork, reaches } from './scale/network.mjs';
import { Packages } from './scale/packages.mjs';
import { Processes } from './scale/processes.mjs';
import { LARGE_SIZE, Scene } from './scale/scene.mjs';

/** How often each kind of event happens: in the smaller run, in the short form, in the full one. */
const TIMES = {
    kill: [ 1, 5, 20 ],
    stop: [ 1, 2, 10 ],
    partition_meet: [ 1, 2, 5 ],
    partition_clients: [ 1, 2, 5 ],
    fourth: [ 1, 1, 2 ],
    drain: [ 1, 2, 5 ],
    bridge_upgrade: [ 1, 1, 3 ],
    meet_restart: [ 1, 2, 5 ],
    meet_kill: [ 1, 2, 5 ],
    // Without packages it is the same as meet_restart.
    meet_upgrade: [ 0, 1, 1 ],
    meet_down: [ 0, 0, 1 ],
    kill_standby: [ 1, 5, 20 ],
    wide: [ 0, 0, 3 ],
    // Only where it is chosen: AUDIENCE people, 300 if it is not given, with an optimised binary (PONTOON=...).
    audience: [ 0, 0, 0 ]
};

const form = process.env.SCALE ?? '';
const column = form === '' ? 0 : process.env.FULL ? 2 : 1;
const chosen = process.env.SCALE_EVENTS?.split(',');
const lacking = process.getuid() === 0 ? form === 'packages' && Packages.lack() : 'needs root';
const skip = lacking || false;
const summary = { bridges: BRIDGES.length, rooms_per_bridge: [], participants_lost: 0 };

let network, scene;

/** What an event has left behind would be taken for the next one's. */
let broken = false;

before(async () => {
    if (skip) {
        return;
    }
    network = createNetwork();
    const installation = form === 'packages' ? new Packages(network) : new Processes(network);

    scene = new Scene(network, installation);
    await installation.startMeet();
    for (const name of BRIDGES) {
        await installation.startBridge(name);
    }
});

after(async () => {
    try {
        for (const crowd of scene?.crowds ?? []) {
            await crowd.leave();
        }
    } finally {
        scene?.installation.stop();
        network?.stop();
    }
});

test('the firewalls are the guide\'s', { skip }, () => {
    const { meet, people, bridge1 } = network.hosts;

    assert.ok(reaches(people, meet, 443));
    assert.ok(reaches(people, meet, 80));
    assert.ok(reaches(people, bridge1, 443));
    assert.ok(reaches(bridge1, meet, 5222));
    assert.ok(!reaches(people, meet, 5222, 2), 'only bridges reach the XMPP port');
});

test('meetings are spread by load, and log and status say why', { skip, timeout: 300_000 }, async t => {
    await scene.calm();
    const crowd = await scene.gather({ room: 'room', rooms: 4, senders: 3 });
    const places = scene.places();
    const count = name => crowd.rooms.filter(room => places[room][0].bridge === name).length;

    summary.rooms_per_bridge = BRIDGES.map(count);
    t.diagnostic(JSON.stringify(places));
    assert.deepEqual([ ...summary.rooms_per_bridge ].sort(), [ 1, 1, 2 ], 'no bridge has two more than another');
    const log = scene.parts.meet.log();

    for (const name of BRIDGES) {
        const { address } = network.hosts[name];

        assert.ok(log.some(line => /service \S+ came from/.test(line) && line.endsWith(address)), `the log says that ${name} came from ${address}`);
        assert.ok(log.some(line => line.includes(`came: media at ${address}:10000, `)), `the log says where ${name} takes media`);
    }
    for (const room of crowd.rooms) {
        const [ { id, why, bridge } ] = places[room];

        assert.match(why, /load/, `status says why ${room} is on ${id}`);
        assert.ok(log.some(line => line.includes(`is placed on bridge ${id}: `)), `the log says that ${id} was chosen`);
        assert.ok(scene.part(bridge).log().some(line => line.includes('conference created')), `${id} says so too`);
    }
    await scene.gather({ room: 'large', senders: LARGE_SIZE });
});

for (const [ kind, run ] of Object.entries(EVENTS)) {
    const named = chosen?.includes(kind);
    const times = Math.max(TIMES[kind][column], named ? 1 : 0);
    const left = times === 0 || (chosen && !named);

    test(`${kind}, ${times} times`, { skip: skip || left, timeout: 3_600_000 }, async t => {
        if (broken) {
            return t.skip('somebody is not served since another event');
        }
        broken = true;
        await run(scene, times);
        broken = false;
        t.diagnostic(JSON.stringify(scene.figures[kind]));
    });
}

// After all that the test runner says.
process.on('exit', () => {
    if (form !== '' && scene) {
        const kinds = Object.keys(EVENTS).filter(kind => TIMES[kind][1] > 0 || scene.figures[kind]);
        const figures = Object.fromEntries(kinds.map(kind => [ kind, scene.figures[kind] ?? null ]));

        console.log(`# ${cpus().length} processors, load ${loadavg()[0].toFixed(1)}`);
        console.log(JSON.stringify({ ...summary, participants_lost: scene.lost, ...figures }));
    }
});
