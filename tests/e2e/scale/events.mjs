// What befalls an installation while meetings run: each kind of event so many times, measured at the receivers.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { BRIDGES, FURTHER } from './network.mjs';
import { LARGE, LARGE_SIZE } from './scene.mjs';

const MINUTE = 60_000;
/** People in the room of many. */
const AUDIENCE = Number(process.env.AUDIENCE ?? 300);

/** Does it to the bridge of the large room, `times` times, each time when all is calm. */
async function toItsBridge(scene, kind, times, deed, options = {}) {
    for (let n = 0; n < times; n++) {
        await scene.calm();
        await options.before?.();
        const name = scene.bridgeOf(LARGE);
        const part = scene.part(name);
        const moved = await scene.measure(kind, [ LARGE ], () => deed(part, name), options.settle);

        if (options.stays) {
            assert.equal(moved, 0, `after ${kind} everybody has the session of before`);
            assert.equal(scene.bridgeOf(LARGE), name, `after ${kind} the meeting is where it was`);
        } else {
            assert.notEqual(scene.bridgeOf(LARGE), name, `after ${kind} the meeting is on another bridge`);
        }
        await options.after?.(part, name);
    }
}

/** From now on people have spare connections on another bridge, and theirs is killed. */
async function killWithSpares(scene, times) {
    const people = () => scene.status().meetings.find(({ room }) => room.startsWith(LARGE)).spares?.people;

    await scene.calm();
    await scene.installation.set('focus.standby', 'true');
    await toItsBridge(scene, 'kill_standby', times, part => part.kill(), {
        before: async () => {
            await scene.until('everybody has a spare connection', () => people() === LARGE_SIZE);
            // That it is asked for does not say that it is there.
            await pause(3_000);
        },
        after: part => part.back()
    });
}

/** What is done to the meet node does not touch media: nobody gets another session. */
async function toTheMeetNode(scene, kind, times, deed) {
    for (let n = 0; n < times; n++) {
        await scene.calm();
        const rooms = scene.crowds.flatMap(crowd => crowd.rooms);
        const moved = await scene.measure(kind, rooms, () => deed(scene.parts.meet));

        assert.equal(moved, 0, `after ${kind} everybody has the session of before`);
        scene.figures[kind].worst('join_ms', await scene.newcomers(`new-${kind}-${n}`.replaceAll('_', '-')));
    }
}

/** A fourth bridge comes while meetings run: the next ones go on it, and those that run notice nothing. */
async function fourth(scene, times) {
    for (let n = 0; n < times; n++) {
        await scene.calm();
        const before = scene.places();
        const rooms = scene.crowds.flatMap(crowd => crowd.rooms);
        const isReady = bridge => bridge.state === 'ready' && scene.nameOf(scene.status(), bridge.name) === FURTHER;

        let took, crowd;

        const moved = await scene.measure('fourth', rooms, async () => {
            const from = Date.now();

            await (n === 0 ? scene.installation.startBridge(FURTHER) : scene.part(FURTHER).start());
            await scene.until('the bridge that came last is ready', () => scene.status().bridges.some(isReady));
            took = Date.now() - from;
            crowd = await scene.gather({ room: `later-${n}`, rooms: BRIDGES.length + 1, senders: 2 });
        });
        const places = scene.places();
        const later = [ ...BRIDGES, FURTHER ].map(name => crowd.rooms.filter(room => places[room][0].bridge === name).length);
        const [ { why, id } ] = crowd.rooms.map(room => places[room]).find(([ { bridge } ]) => bridge === FURTHER)
            ?? assert.fail(`the bridge that came last gets a meeting: ${JSON.stringify(places)}`);

        assert.match(why, /load/, `status says why a meeting is on ${id}`);
        assert.equal(moved, 0, 'nobody who is there gets another session by it');
        for (const room of rooms) {
            assert.equal(places[room][0].bridge, before[room][0].bridge, `${room} is where it was`);
        }
        scene.figures.fourth.worst('ready_ms', took);
        scene.figures.fourth.last('later_rooms_per_bridge', later);
        await scene.dismiss(crowd);
        await scene.part(FURTHER).end();
        await scene.until('the bridge that came last is gone', () => !scene.status().bridges.some(isReady));
    }
}

/** The bridge of the large room is drained. */
async function drain(scene, times) {
    for (let n = 0; n < times; n++) {
        await scene.calm();
        const [ { bridge, id } ] = scene.places()[LARGE];
        const empty = () => scene.status().bridges.some(({ name, people }) => name === id && people === 0);

        let took;

        await scene.measure('drain', [ LARGE ], async () => {
            const from = Date.now();

            scene.parts.meet.command('drain', id, '--stay');
            await scene.until('a drained bridge is empty', empty);
            took = Date.now() - from;
        });
        scene.figures.drain.worst('empty_ms', took);
        assert.notEqual(scene.bridgeOf(LARGE), bridge, 'the meeting left the drained bridge');
        scene.parts.meet.command('drain', id, '--off');
    }
}

/** One meeting of thirty over all bridges, with relays; one of the bridges is killed. */
async function wide(scene, times) {
    await scene.spread();
    for (let n = 0; n < times; n++) {
        // A new one each time: whoever lost their bridge is on the other two.
        const crowd = await scene.gather({ room: 'wide', senders: 30, pictures: 4, frameRate: 10 });
        const places = scene.places()['wide-0'];

        assert.equal(places.length, BRIDGES.length, 'the meeting is on all bridges');
        const part = scene.part(places[n % places.length].bridge);

        await scene.measure('wide', [ 'wide-0' ], () => part.kill());
        await part.back();
        await scene.dismiss(crowd);
        await scene.calm();
    }
}

/** One room of many who only receive, over all bridges with relays: what it costs the bridges, and what arrives. */
async function audience(scene) {
    await scene.spread();
    const crowd = await scene.gather({
        room: 'audience', senders: 2, receivers: AUDIENCE - 2, frameRate: 10, threads: 2, count: true, ramp: 10,
        patience: 60_000 + 200 * AUDIENCE
    });
    const places = scene.places()['audience-0'];
    const used = () => places.map(({ bridge }) => scene.part(bridge).cpu());

    assert.equal(places.length, BRIDGES.length, 'the meeting is on all bridges');
    const before = used();
    const from = Date.now();

    await pause(20_000);
    const seconds = (Date.now() - from) / 1000;
    const processors = used().map((cpu, n) => Math.round((cpu - before[n]) / seconds / 10) / 100);
    const people = Object.fromEntries(scene.status().bridges.map(({ name, people: on }) => [ name, on ]));

    assert.deepEqual(await crowd.whole({ timeout: 60_000 }), [], 'all are served');
    await scene.dismiss(crowd);
    const { whole, join_time: join, picture_time: picture } = crowd.report();
    const times = ({ p50, p95, max }) => ({ p50: Math.round(p50), p95: Math.round(p95), max: Math.round(max) });

    scene.figures.audience = {
        people: AUDIENCE, on_each_bridge: places.map(({ id }) => people[id]), processors, packets_per_second: whole.received_rate,
        loss: whole.loss, connected_ms: times(join), first_picture_ms: times(picture)
    };
}

/** Each kind: from how often it shall happen to what happens. */
export const EVENTS = {
    kill: (scene, times) => toItsBridge(scene, 'kill', times, part => part.kill(), { after: part => part.back() }),

    stop: (scene, times) => toItsBridge(scene, 'stop', times, part => part.signal('SIGSTOP'), {
        after: part => part.signal('SIGCONT')
    }),

    // It carries its meetings on.
    partition_meet: (scene, times) => toItsBridge(scene, 'partition_meet', times, (part, name) => {
        const { address } = scene.hosts.meet;

        scene.hosts[name].block({ input: `ip saddr ${address}`, output: `ip daddr ${address}` });
    }, { settle: 10_000, stays: true, after: (part, name) => scene.hosts[name].unblock() }),

    partition_clients: (scene, times) => toItsBridge(scene, 'partition_clients', times, (part, name) => {
        const { address } = scene.hosts.people;

        scene.hosts[name].block({
            input: `ip saddr ${address} udp dport 10000`, output: `ip daddr ${address} udp sport 10000`
        });
    }, {
        settle: 10_000,
        after: async (part, name) => {
            scene.hosts[name].unblock();
            // It would be avoided for a minute.
            await part.restart();
        }
    }),

    fourth,

    drain,

    bridge_upgrade: (scene, times) => toItsBridge(scene, 'bridge_upgrade', times, part => part.upgrade()),

    meet_restart: (scene, times) => toTheMeetNode(scene, 'meet_restart', times, meet => meet.restart()),

    meet_kill: (scene, times) => toTheMeetNode(scene, 'meet_kill', times, async meet => {
        await meet.kill();
        await meet.back();
    }),

    // Packages restart it.
    meet_upgrade: (scene, times) => toTheMeetNode(scene, 'meet_upgrade', times, meet => meet.upgrade()),

    meet_down: (scene, times) => toTheMeetNode(scene, 'meet_down', times, async meet => {
        await meet.end();
        await pause(10 * MINUTE);
        await meet.start();
    }),

    kill_standby: killWithSpares,

    wide,

    audience
};
