//! Which pair of addresses to send on: what was heard on each path, the nominated one, and following the peer when it
//! has gone elsewhere.

use std::time::{Duration, Instant};

use super::Path;

/// The chosen path counts as silent for media after this time without anything from it.
const MEDIA_SILENCE: Duration = Duration::from_millis(500);
/// How long media must have come from another path before it is followed there.
const MEDIA_STEADY: Duration = Duration::from_millis(200);
/// The chosen path counts as left for one that appeared after the last sign of life on it: the peer's address changed, on
/// its side or at a translator between.
const LEFT: Duration = Duration::from_secs(1);
/// Media only from elsewhere for this long is followed even when the old path still answers checks.
const MEDIA_VOTE: Duration = Duration::from_secs(3);
/// The chosen path counts as silent for checks after this time: two of our checks and more went unanswered.
const CHECK_SILENCE: Duration = Duration::from_secs(6);
/// How fresh a sign of life from the other path must be.
const FRESH: Duration = Duration::from_secs(3);
/// A gap that begins a new stretch of media.
const MEDIA_GAP: Duration = Duration::from_millis(500);
/// Time without an answered check after which the peer no longer consents (RFC 7675 §5.1).
const CONSENT: Duration = Duration::from_secs(30);
/// How often the paths are looked at while the chosen one is silent and there is another.
const REVIEW: Duration = Duration::from_millis(250);
/// Paths remembered.
const MAX_PATHS: usize = 128;

#[derive(Clone, Copy, Debug)]
struct State {
    path: Path,
    /// First sign of life.
    since: Instant,
    /// Last answered check of ours: the peer is there and consents.
    answered: Option<Instant>,
    /// Last authentic check of the peer's.
    requested: Option<Instant>,
    /// Last authentic media, and the beginning of its stretch.
    media: Option<Instant>,
    media_since: Option<Instant>,
}

impl State {
    fn heard(&self) -> Option<Instant> {
        self.answered.max(self.requested).max(self.media)
    }
}

/// The paths of one ICE session.
#[derive(Debug, Default)]
pub(super) struct Paths {
    states: Vec<State>,
    chosen: Option<Path>,
    last_review: Option<Instant>,
}

fn since(now: Instant, then: Option<Instant>) -> Duration {
    then.map_or(Duration::MAX, |t| now.saturating_duration_since(t))
}

impl Paths {
    /// Where to send.
    pub(super) fn chosen(&self) -> Option<Path> {
        self.chosen
    }

    /// Whether an authentic check came on this path or ours was answered.
    pub(super) fn is_known(&self, path: Path) -> bool {
        self.find(path).is_some()
    }

    /// Whether a check of ours was answered on this path.
    pub(super) fn is_validated(&self, path: Path) -> bool {
        self.find(path).is_some_and(|s| s.answered.is_some())
    }

    /// Whether the peer consents to receive on the chosen path.
    pub(super) fn has_consent(&self, now: Instant) -> bool {
        self.chosen
            .and_then(|p| self.find(p))
            .is_some_and(|s| since(now, s.answered) < CONSENT)
    }

    /// Last sign of life on any path.
    pub(super) fn last_heard(&self) -> Option<Instant> {
        self.states.iter().filter_map(State::heard).max()
    }

    fn find(&self, path: Path) -> Option<&State> {
        self.states.iter().find(|s| s.path == path)
    }

    fn entry(&mut self, now: Instant, path: Path) -> &mut State {
        let at = match self.states.iter().position(|s| s.path == path) {
            Some(at) => at,
            None => {
                self.make_room();
                self.states.push(State {
                    path,
                    since: now,
                    answered: None,
                    requested: None,
                    media: None,
                    media_since: None,
                });
                self.states.len() - 1
            }
        };
        &mut self.states[at]
    }

    /// Forgets the path that was silent for the longest time, never the chosen one.
    fn make_room(&mut self) {
        if self.states.len() < MAX_PATHS {
            return;
        }
        let chosen = self.chosen;
        let oldest = self
            .states
            .iter()
            .enumerate()
            .filter(|(_, s)| Some(s.path) != chosen);
        if let Some(at) = oldest.min_by_key(|(_, s)| s.heard()).map(|(at, _)| at) {
            self.states.swap_remove(at);
        }
    }

    pub(super) fn requested(&mut self, now: Instant, path: Path) {
        self.entry(now, path).requested = Some(now);
    }

    pub(super) fn validated(&mut self, now: Instant, path: Path) {
        self.entry(now, path).answered = Some(now);
    }

    /// Notes media. A path that no check was seen on is not remembered: there is no proof that the peer is there.
    pub(super) fn media(&mut self, now: Instant, path: Path) {
        let Some(state) = self.states.iter_mut().find(|s| s.path == path) else {
            return;
        };
        if since(now, state.media) > MEDIA_GAP {
            state.media_since = Some(now);
        }
        state.media = Some(now);
        if self.chosen != Some(path) {
            self.follow(now);
        }
    }

    /// The agent nominated a pair. Taken unless we have followed the peer away from it and it is still dead.
    pub(super) fn nominated(&mut self, now: Instant, path: Path) {
        let alive = self
            .find(path)
            .is_some_and(|s| since(now, s.answered) < CHECK_SILENCE);
        if self.chosen.is_none() || alive {
            self.chosen = Some(path);
        }
    }

    /// Looks whether the peer has gone elsewhere, and follows.
    pub(super) fn follow(&mut self, now: Instant) {
        self.last_review = Some(now);
        let Some(current) = self.chosen.and_then(|p| self.find(p)).copied() else {
            return;
        };
        let candidates = self
            .states
            .iter()
            .filter(|s| s.path != current.path && s.answered.is_some());
        let best = candidates
            .filter(|s| deserves(now, &current, s))
            .max_by_key(|s| (s.media, s.heard()));
        if let Some(path) = best.map(|s| s.path) {
            self.chosen = Some(path);
        }
    }

    /// When to look again. Media from another path is looked at when it comes; only silence needs a timer.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let chosen = self.chosen.and_then(|p| self.find(p))?;
        let reviewed = self.last_review?;
        let newer = self
            .states
            .iter()
            .any(|s| s.answered.is_some() && Some(s.since) > chosen.heard());
        let patience = if newer { LEFT } else { CHECK_SILENCE };
        let silent_at = chosen.heard().map(|t| t + patience);
        let review = silent_at
            .filter(|_| self.states.len() > 1)
            .map(|t| t.max(reviewed + REVIEW));
        // A consent time in the past has been acted on.
        let consent = chosen
            .answered
            .map(|t| t + CONSENT)
            .filter(|t| *t > reviewed);
        review.into_iter().chain(consent).min()
    }
}

/// Whether sending should go to `other` instead of `current`.
fn deserves(now: Instant, current: &State, other: &State) -> bool {
    let silence = since(now, current.heard());
    let media_here = since(now, other.media) < MEDIA_GAP;
    let stretch = since(now, other.media_since);
    if media_here && stretch < Duration::MAX {
        let current_media = since(now, current.media);
        if silence >= MEDIA_SILENCE && stretch >= MEDIA_STEADY {
            return true;
        }
        if current_media >= MEDIA_VOTE && stretch >= MEDIA_VOTE {
            return true;
        }
    }
    let alive = since(now, other.requested.max(other.answered)) < FRESH
        && since(now, other.answered) < CHECK_SILENCE;
    let newer = Some(other.since) > current.heard();
    alive && (silence >= CHECK_SILENCE || (newer && silence >= LEFT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(port: u16) -> Path {
        Path {
            local: ([10, 0, 0, 1], 10_000).into(),
            remote: ([10, 0, 0, 2], port).into(),
        }
    }

    struct Scene {
        paths: Paths,
        start: Instant,
    }

    impl Scene {
        #[allow(
            clippy::disallowed_methods,
            reason = "an arbitrary moment to count from"
        )]
        fn new() -> Self {
            let start = Instant::now();
            let mut paths = Paths::default();
            paths.validated(start, path(1));
            paths.nominated(start, path(1));
            paths.validated(start, path(2));
            Self { paths, start }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        /// Media every 20 ms on a path.
        fn media(&mut self, port: u16, ms: std::ops::Range<u64>) {
            for t in ms.step_by(20) {
                self.paths.media(self.at(t), path(port));
            }
        }

        fn chosen(&self) -> u16 {
            self.paths.chosen().map_or(0, |p| p.remote.port())
        }
    }

    #[test]
    fn media_from_a_validated_path_is_followed_when_the_old_one_is_silent() {
        let mut s = Scene::new();
        s.media(1, 0..5000);
        s.media(2, 5000..5400);
        assert_eq!(s.chosen(), 1, "not yet");
        s.media(2, 5400..5700);
        assert_eq!(s.chosen(), 2);
    }

    #[test]
    fn an_unvalidated_path_is_not_followed() {
        let mut s = Scene::new();
        s.paths.requested(s.at(0), path(3));
        s.media(1, 0..1000);
        s.media(3, 1000..9000);
        assert_eq!(s.chosen(), 1);
        s.media(4, 9000..20_000);
        assert_eq!(s.chosen(), 1);
    }

    #[test]
    fn media_elsewhere_wins_over_answered_checks_in_the_end() {
        let mut s = Scene::new();
        s.media(1, 0..1000);
        for t in (1000..3900).step_by(20) {
            s.paths.validated(s.at(t), path(1));
            s.paths.media(s.at(t), path(2));
        }
        assert_eq!(s.chosen(), 1);
        for t in (3900..4200).step_by(20) {
            s.paths.validated(s.at(t), path(1));
            s.paths.media(s.at(t), path(2));
        }
        assert_eq!(s.chosen(), 2);
    }

    #[test]
    fn media_on_both_stays() {
        let mut s = Scene::new();
        for t in (0..20_000).step_by(20) {
            s.paths.media(s.at(t), path(1));
            s.paths.media(s.at(t), path(2));
        }
        assert_eq!(s.chosen(), 1);
    }

    #[test]
    fn a_path_that_appears_when_the_old_one_falls_silent_is_followed_soon() {
        let mut s = Scene::new();
        s.paths.requested(s.at(2000), path(1));
        s.paths.requested(s.at(2500), path(3));
        s.paths.follow(s.at(2900));
        assert_eq!(s.paths.poll_timeout(), Some(s.at(8000)), "not answered yet");
        s.paths.validated(s.at(2900), path(3));
        s.paths.follow(s.at(2900));
        assert_eq!(s.chosen(), 1);
        assert_eq!(s.paths.poll_timeout(), Some(s.at(3150)));
        s.paths.follow(s.at(3150));
        assert_eq!(s.chosen(), 3);
        // The old one came back, with nothing to say that the peer left the new one.
        s.paths.requested(s.at(3500), path(3));
        s.paths.validated(s.at(3600), path(1));
        s.paths.follow(s.at(5000));
        assert_eq!(s.chosen(), 3);
    }

    #[test]
    fn checks_alone_are_followed_later() {
        let mut s = Scene::new();
        for t in (0..5500).step_by(500) {
            s.paths.validated(s.at(t), path(2));
            s.paths.follow(s.at(t));
        }
        assert_eq!(s.chosen(), 1);
        s.paths.validated(s.at(5800), path(2));
        s.paths.follow(s.at(6100));
        assert_eq!(s.chosen(), 2);
        // The dead pair is not taken back because an old nomination comes late, the living one is.
        s.paths.nominated(s.at(6200), path(1));
        assert_eq!(s.chosen(), 2);
        s.paths.validated(s.at(6300), path(1));
        s.paths.nominated(s.at(6300), path(1));
        assert_eq!(s.chosen(), 1);
    }

    #[test]
    fn timers() {
        let mut s = Scene::new();
        s.paths.follow(s.at(0));
        assert_eq!(
            s.paths.poll_timeout(),
            Some(s.at(6000)),
            "nothing to look at before it is silent"
        );
        s.paths.validated(s.at(2500), path(1));
        assert_eq!(s.paths.poll_timeout(), Some(s.at(8500)));
        s.paths.follow(s.at(8500));
        assert_eq!(s.paths.poll_timeout(), Some(s.at(8750)));
        s.paths.follow(s.at(40_000));
        assert_eq!(s.paths.poll_timeout(), Some(s.at(40_250)));
        let mut alone = Paths::default();
        alone.validated(s.start, path(1));
        alone.nominated(s.start, path(1));
        alone.follow(s.start);
        assert_eq!(alone.poll_timeout(), Some(s.at(30_000)), "consent");
        alone.follow(s.at(30_000));
        assert_eq!(alone.poll_timeout(), None);
    }

    #[test]
    fn consent_runs_out_by_unanswered_checks_only() {
        let mut s = Scene::new();
        for t in (0..31_000).step_by(100) {
            s.paths.requested(s.at(t), path(1));
        }
        assert!(s.paths.has_consent(s.at(29_000)));
        assert!(!s.paths.has_consent(s.at(30_001)));
        s.paths.validated(s.at(31_000), path(1));
        assert!(s.paths.has_consent(s.at(31_001)));
    }

    #[test]
    fn memory_is_bounded_and_keeps_the_chosen() {
        let mut s = Scene::new();
        for port in 10..1000 {
            s.paths.requested(s.at(u64::from(port)), path(port));
        }
        assert_eq!(s.paths.states.len(), MAX_PATHS);
        assert!(s.paths.is_validated(path(1)));
        assert!(!s.paths.is_known(path(10)));
    }
}
