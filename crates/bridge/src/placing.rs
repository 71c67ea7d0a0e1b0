//! Which worker has which people of which meeting. A meeting stays with one worker until it is large; then its people
//! are spread, and each of those workers has a part of it.

use std::collections::HashMap;

use sfu::{FeedbackSources, Part};
use stanza::colibri2::ConferenceModify;

/// What one worker is asked of a request.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) worker: usize,
    pub(crate) request: ConferenceModify,
    pub(crate) part: Option<Part>,
}

/// A worker's part of a meeting.
#[derive(Debug, Clone, Copy)]
struct Place {
    worker: usize,
    /// Requests on the way: while there are any, only their answers decide whether the part is forgotten.
    pending: usize,
}

#[derive(Debug)]
struct Meeting {
    /// The one it began with first.
    parts: Vec<Place>,
    /// Where everybody is; empty on a bridge with one worker.
    people: HashMap<String, usize>,
    feedback: FeedbackSources,
}

impl Meeting {
    fn new(worker: usize) -> Self {
        Self {
            parts: vec![Place { worker, pending: 0 }],
            people: HashMap::new(),
            feedback: FeedbackSources {
                audio: rand::random_range(1..u32::MAX),
                video: rand::random_range(1..u32::MAX),
            },
        }
    }

    fn first(&self) -> usize {
        self.parts.first().map_or(0, |p| p.worker)
    }

    fn count(&self, worker: usize) -> usize {
        self.people.values().filter(|w| **w == worker).count()
    }

    fn forget_part(&mut self, worker: usize) {
        self.parts.retain(|p| p.worker != worker);
        self.people.retain(|_, w| *w != worker);
    }

    /// Where somebody new goes. `busy`: the load of each worker, 0 to 1.
    fn choose(&self, busy: &[f64], limit: usize) -> usize {
        let mut workers = self.parts.iter().map(|p| p.worker);
        if let Some(roomy) = workers.find(|w| self.count(*w) < limit) {
            return roomy;
        }
        // A tenth of a core is a difference; below that the number of people decides.
        let loads = busy.iter().enumerate();
        loads
            .min_by_key(|(worker, busy)| ((**busy * 10.0) as u64, self.count(*worker)))
            .map_or(self.first(), |(worker, _)| worker)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Placing {
    meetings: HashMap<String, Meeting>,
    /// People of one meeting at one worker before another one takes some.
    people_per_worker: usize,
}

impl Placing {
    pub(crate) fn new(people_per_worker: usize) -> Self {
        Self {
            meetings: HashMap::new(),
            people_per_worker: people_per_worker.max(1),
        }
    }

    /// Makes errands of a request; [`Placing::answered`] follows for each. `busy`: the load of each worker, 0 to 1.
    pub(crate) fn place(&mut self, request: ConferenceModify, busy: &[f64]) -> Vec<Errand> {
        let name = request.meeting_id.clone();
        if !self.meetings.contains_key(&name) {
            // Any worker gives the right answer about a meeting that nobody has.
            let worker = match request.create {
                true => self.least_loaded(busy),
                false => 0,
            };
            self.meetings.insert(name.clone(), Meeting::new(worker));
        }
        let limit = self.people_per_worker;
        let Some(meeting) = self.meetings.get_mut(&name) else {
            return Vec::new();
        };
        let errands = split(meeting, request, busy, limit);
        for errand in &errands {
            match meeting.parts.iter_mut().find(|p| p.worker == errand.worker) {
                Some(place) => place.pending += 1,
                None => meeting.parts.push(Place {
                    worker: errand.worker,
                    pending: 1,
                }),
            }
        }
        errands
    }

    fn least_loaded(&self, busy: &[f64]) -> usize {
        let mut meetings = vec![0usize; busy.len()];
        for place in self.meetings.values().flat_map(|m| &m.parts) {
            if let Some(count) = meetings.get_mut(place.worker) {
                *count += 1;
            }
        }
        // A tenth of a core is a difference; below that the number of meetings decides.
        let loads = busy.iter().zip(meetings).enumerate();
        loads
            .min_by_key(|(_, (busy, count))| ((**busy * 10.0) as u64, *count))
            .map_or(0, |(worker, _)| worker)
    }

    /// An errand was answered; `exists` tells whether the worker's part of the meeting exists now.
    pub(crate) fn answered(&mut self, name: &str, worker: usize, exists: bool) {
        self.part_changed(name, worker, |place| {
            place.pending = place.pending.saturating_sub(1);
            place.pending > 0 || exists
        });
    }

    /// A worker ended its part of a meeting by itself.
    pub(crate) fn ended(&mut self, name: &str, worker: usize) {
        self.part_changed(name, worker, |place| place.pending > 0);
    }

    /// Somebody left a meeting without a request.
    pub(crate) fn left(&mut self, name: &str, person: &str) {
        if let Some(meeting) = self.meetings.get_mut(name) {
            meeting.people.remove(person);
        }
    }

    /// A worker lost all it had.
    pub(crate) fn worker_lost(&mut self, worker: usize) {
        let names: Vec<String> = self.meetings.keys().cloned().collect();
        for name in names {
            self.ended(&name, worker);
        }
    }

    fn part_changed(&mut self, name: &str, worker: usize, keep: impl FnOnce(&mut Place) -> bool) {
        let Some(meeting) = self.meetings.get_mut(name) else {
            return;
        };
        let place = meeting.parts.iter_mut().find(|p| p.worker == worker);
        if place.is_some_and(|place| !keep(place)) {
            meeting.forget_part(worker);
        }
        if meeting.parts.is_empty() {
            self.meetings.remove(name);
        }
    }

    #[cfg(test)]
    pub(crate) fn worker_of(&self, name: &str) -> Option<usize> {
        self.meetings.get(name).map(Meeting::first)
    }
}

/// Gives each endpoint of a request to the worker that has it, or takes it in.
fn split(
    meeting: &mut Meeting,
    request: ConferenceModify,
    busy: &[f64],
    limit: usize,
) -> Vec<Errand> {
    let first = meeting.first();
    if busy.len() < 2 {
        return vec![Errand {
            worker: first,
            request,
            part: None,
        }];
    }
    let whole = request.expire || request.endpoints.is_empty() || !request.relays.is_empty();
    let mut workers: Vec<usize> = match whole {
        true => meeting.parts.iter().map(|p| p.worker).collect(),
        false => Vec::new(),
    };
    if !request.expire {
        workers.truncate(1);
    }
    let mut at = Vec::with_capacity(request.endpoints.len());
    for endpoint in &request.endpoints {
        let worker = match meeting.people.get(&endpoint.id) {
            Some(worker) => *worker,
            None if endpoint.create && !endpoint.expire => {
                let worker = meeting.choose(busy, limit);
                meeting.people.insert(endpoint.id.clone(), worker);
                worker
            }
            None => first,
        };
        if endpoint.expire {
            meeting.people.remove(&endpoint.id);
        }
        at.push(worker);
        if !workers.contains(&worker) {
            workers.push(worker);
        }
    }
    let part = |worker: usize| Part {
        feedback: meeting.feedback,
        others: others(meeting, worker),
        exists: meeting.parts.iter().any(|p| p.worker != worker),
    };
    if let [worker] = workers[..] {
        let part = Some(part(worker));
        return vec![Errand {
            worker,
            request,
            part,
        }];
    }
    let errand = |worker: &usize| {
        let mut own = request.clone();
        let mut at = at.iter();
        own.endpoints.retain(|_| at.next() == Some(worker));
        Errand {
            worker: *worker,
            request: own,
            part: Some(part(*worker)),
        }
    };
    workers.iter().map(errand).collect()
}

/// Other workers with parts of a meeting, as shards know each other.
fn others(meeting: &Meeting, worker: usize) -> Vec<u8> {
    let others = meeting.parts.iter().map(|p| p.worker);
    let others = others.filter(|other| *other != worker);
    others
        .filter_map(|other| u8::try_from(other).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stanza::Element;

    fn request(attributes: &str, endpoints: &str) -> ConferenceModify {
        let xml = format!(
            "<conference-modify xmlns='jitsi:colibri2' meeting-id='m' {attributes}>{endpoints}</conference-modify>"
        );
        ConferenceModify::try_from(&xml.parse::<Element>().unwrap()).unwrap()
    }

    fn create(id: &str) -> String {
        format!("<endpoint id='{id}' create='true'><transport/></endpoint>")
    }

    /// A meeting of `count` people at most two at each of three idle workers, all requests answered.
    fn meeting(count: usize) -> (Placing, Vec<usize>) {
        let mut placing = Placing::new(2);
        let mut workers = Vec::new();
        for n in 0..count {
            let attributes = if n == 0 { "create='true'" } else { "" };
            let errands = placing.place(request(attributes, &create(&format!("p{n}"))), &[0.0; 3]);
            assert_eq!(errands.len(), 1);
            let part = errands[0].part.as_ref().unwrap();
            assert_eq!(part.exists, part.others.len() + 1 > 1, "{part:?}");
            placing.answered("m", errands[0].worker, true);
            workers.push(errands[0].worker);
        }
        (placing, workers)
    }

    fn at(errands: &[Errand]) -> Vec<(usize, Vec<&str>)> {
        let ids = |e: &Errand| e.request.endpoints.iter().map(|e| e.id.clone()).collect();
        let ids: Vec<(usize, Vec<String>)> = errands.iter().map(|e| (e.worker, ids(e))).collect();
        let leak = |s: String| -> &str { Box::leak(s.into_boxed_str()) };
        ids.into_iter()
            .map(|(w, ids)| (w, ids.into_iter().map(leak).collect()))
            .collect()
    }

    #[test]
    fn a_large_meeting_is_spread_and_a_small_one_is_not() {
        assert_eq!(meeting(8).1, [0, 0, 1, 1, 2, 2, 0, 1]);
        // Whoever is busy gets nobody more.
        let (mut placing, _) = meeting(6);
        let errands = placing.place(request("", &create("new")), &[0.5, 0.9, 0.2]);
        assert_eq!(at(&errands), [(2, vec!["new"])]);
        // Where somebody left, there is room again.
        placing.place(request("", "<endpoint id='p2' expire='true'/>"), &[0.0; 3]);
        placing.left("m", "p3");
        for name in ["n1", "n2"] {
            let errands = placing.place(request("", &create(name)), &[0.0, 0.9, 0.0]);
            assert_eq!(errands[0].worker, 1);
        }
    }

    #[test]
    fn a_request_goes_to_those_whom_it_concerns() {
        let (mut placing, _) = meeting(5);
        let mute = |ids: &[&str]| {
            let one =
                |id: &&str| format!("<endpoint id='{id}'><force-mute audio='true'/></endpoint>");
            request("", &ids.iter().map(one).collect::<String>())
        };
        let errands = placing.place(mute(&["p4", "p0", "p2", "p1"]), &[0.0; 3]);
        let expected = [(2, vec!["p4"]), (0, vec!["p0", "p1"]), (1, vec!["p2"])];
        assert_eq!(at(&errands), expected);
        let errands = placing.place(mute(&["nobody"]), &[0.0; 3]);
        assert_eq!(at(&errands), [(0, vec!["nobody"])]);
        assert_eq!(
            at(&placing.place(request("", ""), &[0.0; 3])),
            [(0, vec![])]
        );
        let all = [(0, vec![]), (1, vec![]), (2, vec![])];
        let end = request("expire='true'", "");
        assert_eq!(at(&placing.place(end, &[0.0; 3])), all);
    }

    #[test]
    fn relays_are_where_the_meeting_began() {
        let (mut placing, _) = meeting(5);
        for part in ["create='true'", "", "expire='true'"] {
            let xml = format!("<relay id='r' {part}/>");
            assert_eq!(
                at(&placing.place(request("", &xml), &[0.0; 3])),
                [(0, vec![])]
            );
        }
    }

    #[test]
    fn a_part_that_ended_is_forgotten_with_its_people() {
        let (mut placing, _) = meeting(5);
        placing.worker_lost(0);
        assert_eq!(placing.worker_of("m"), Some(1));
        let errands = placing.place(request("", "<endpoint id='p0' expire='true'/>"), &[0.0; 3]);
        assert_eq!(errands[0].worker, 1, "nobody knows it");
        // While a request is on the way, only its answer counts.
        placing.ended("m", 1);
        assert_eq!(placing.worker_of("m"), Some(1));
        placing.answered("m", 1, false);
        assert_eq!(placing.worker_of("m"), Some(2));
        placing.ended("m", 1);
        placing.ended("m", 2);
        assert_eq!(placing.worker_of("m"), None);
    }

    #[test]
    fn one_worker_has_everything_whole() {
        let mut placing = Placing::new(1);
        for n in 0..4 {
            let attributes = if n == 0 { "create='true'" } else { "" };
            let errands = placing.place(request(attributes, &create(&format!("p{n}"))), &[0.9]);
            assert!(errands.len() == 1 && errands[0].worker == 0 && errands[0].part.is_none());
        }
        assert!(placing.meetings["m"].people.is_empty());
    }
}
