// An installation with its people, and how an event is measured at the receivers.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { Crowd } from './crowd.mjs';
import { Figures } from './figures.mjs';
import { BRIDGES, DOMAIN } from './network.mjs';

/** How long anything may take; nobody waits for it. */
const PATIENCE = 90_000;
/** The room in which events are measured, and how many are in it. */
export const LARGE = 'large-0';
export const LARGE_SIZE = 9;

export class Scene {
    constructor(network, installation) {
        this.hosts = network.hosts;
        this.installation = installation;
        this.crowds = [];
        this.figures = {};
        this.lost = 0;
    }

    get parts() {
        return this.installation.parts;
    }

    part(name) {
        return this.installation.parts[name];
    }

    /** Lets people come, and waits until each gets what is due. */
    async gather({ patience = PATIENCE, ...options }) {
        const crowd = new Crowd({ host: this.hosts.people, server: this.hosts.meet.address, ...options });

        this.crowds.push(crowd);
        const unserved = await crowd.whole({ timeout: patience });

        assert.deepEqual(unserved, [], `all are served; ${crowd.said.join('\n')}`);

        return crowd;
    }

    async dismiss(crowd) {
        this.crowds = this.crowds.filter(other => other !== crowd);
        await crowd.leave();
    }

    /** Sends everybody home and has each meeting from now on spread over all bridges. */
    async spread() {
        for (const crowd of this.crowds) {
            await this.dismiss(crowd);
        }
        if (!this.spreads) {
            this.spreads = true;
            await this.installation.set('focus.strategy', 'split');
        }
        await this.calm();
    }

    /** What the meet node says of bridges and meetings. */
    status() {
        return JSON.parse(this.parts.meet.command('status', '--json'));
    }

    /** Which of our bridges a bridge of the status is, by where its media come in. */
    nameOf(status, bridge) {
        const { addresses } = status.bridges.find(({ name }) => name === bridge);
        const names = Object.keys(this.parts).filter(name => name !== 'meet');

        return names.find(name => addresses.some(address => address.startsWith(`${this.hosts[name].address}:`)));
    }

    /** Meetings by room: on which of our bridges each is, and why. */
    places(status = this.status()) {
        return Object.fromEntries(status.meetings.map(({ room, bridges }) => [
            room.split('@')[0],
            bridges.map(({ bridge, why }) => ({ bridge: this.nameOf(status, bridge), why, id: bridge }))
        ]));
    }

    /** The bridge of a room, by our name for it. */
    bridgeOf(room) {
        return this.places()[room][0].bridge;
    }

    /** Waits until it is so. */
    async until(what, right, timeout = PATIENCE) {
        const end = Date.now() + timeout;

        for (;;) {
            try {
                if (right()) {
                    return;
                }
            } catch {
                // The meet node is not there at this moment.
            }
            assert.ok(Date.now() < end, what);
            await pause(250);
        }
    }

    /** Waits until so many bridges are ready for meetings and everybody is served. */
    async calm(bridges = BRIDGES.length) {
        await this.until(`${bridges} bridges are ready`, () =>
            this.status().bridges.filter(({ state }) => state === 'ready').length >= bridges);
        for (const crowd of this.crowds) {
            assert.deepEqual(await crowd.whole({ timeout: PATIENCE }), [], 'all are served before the event');
        }
    }

    /**
     * Lets something happen and measures what people of `rooms` went without, from then until all are served again, but for
     * `settle` ms at least. Returns how many sessions began meanwhile.
     */
    async measure(kind, rooms, act, settle = 4_000) {
        const crowds = this.crowds.filter(crowd => crowd.rooms.some(room => rooms.includes(room)));
        const before = crowds.map(({ now }) => now);
        const from = Date.now();

        await act();
        await pause(Math.max(0, from + settle - Date.now()));
        for (const crowd of this.crowds) {
            const unserved = await crowd.whole({ timeout: PATIENCE });

            this.lost += unserved.length;
            assert.deepEqual(unserved, [], `after ${kind} all are served again`);
        }
        let sessions = 0;
        const pauses = crowds.flatMap((crowd, n) => {
            const records = crowd.records.filter(({ at }) => at > from);

            return before[n].people.filter(({ room }) => rooms.includes(room)).map(person => {
                const series = records.map(({ people }) => people.find(({ name }) => name === person.name));
                const longest = key => Math.max(...series.map(seen => seen?.[key] ?? 0));

                sessions += (series[series.length - 1]?.sessions ?? 0) - person.sessions;

                return {
                    audio: crowd.isSpeaker(person) ? null : longest('audio_ms'),
                    // Who wants only some of the pictures gets now these, now those.
                    video: crowd.pictures < 0 ? longest('video_ms') : null
                };
            });
        });

        this.figures[kind] ??= new Figures();
        this.figures[kind].add(pauses);

        return sessions;
    }

    /** Milliseconds from the beginning of their login until two newcomers, in a room of their own, see each other. */
    async newcomers(room) {
        const crowd = await this.gather({ room, senders: 2 });

        await this.dismiss(crowd);

        return Math.round(crowd.report().picture_time.max);
    }

    /** The rooms that are on one of our bridges. */
    roomsOn(bridge) {
        return Object.entries(this.places()).filter(([ , places ]) => places.some(place => place.bridge === bridge))
            .map(([ room ]) => room);
    }
}

export { DOMAIN, PATIENCE };
