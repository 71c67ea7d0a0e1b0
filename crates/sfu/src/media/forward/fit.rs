//! How the bandwidth towards a receiver is shared among the sources it wants: from the first to the last of them, a layer
//! each, then the next. Nothing here remembers anything.

use super::allocation::ALL_TEMPORAL;
use super::slot::Target;
use crate::media::ingest::{Layer, LayerRates, TEMPORAL_LAYERS};
use crate::media::spec::{Encodings, VideoType};
use smallvec::SmallVec;

/// What is on stage gets this height before others get anything, pixels.
const STAGE_HEIGHT: u16 = 360;
/// A shared screen on stage may take this much more than there is, bits per second.
const OVERSEND: u64 = 500_000;
/// What a layer that was not had before must leave free, and by how much one that was may exceed what there is, as shares
/// of their rates: one in so many. Rates are measured, and vary.
const CLIMB_MARGIN: u64 = 8;
const KEEP_MARGIN: u64 = 16;
/// The last picture is given up when there is less than so many eighths of the least it takes: estimates dip, and the key frame
/// with which it would begin again takes more than it does meanwhile. It is begun with so many: where no video is sent, an
/// estimate says little of what the line would carry.
const LAST_PICTURE: u64 = 3;
const FIRST_PICTURE: u64 = 6;

/// What a line is trusted with before anything is known of it is for pictures that take no more than this.
const LITTLE: u64 = 250_000;

/// What was decided for a source before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// Nothing yet: it was not wanted.
    New,
    /// This much of it, or nothing for want of bandwidth.
    At(Option<Target>),
}

/// A source that a receiver wants.
#[derive(Debug)]
pub(super) struct Contender {
    pub(super) layers: SmallVec<[Layer; 4]>,
    /// Greatest height; -1 for no limit.
    pub(super) constraint: i32,
    pub(super) video_type: VideoType,
    pub(super) on_stage: bool,
    /// The encodings of which it may take something that begins at a key frame, which it has not now.
    pub(super) switchable: Encodings,
    pub(super) held: Held,
}

/// One thing that can be had of a source, and its rate, bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    target: Target,
    height: u16,
    rate: u64,
}

type Ladder = SmallVec<[Step; 6]>;

/// What became of it.
#[derive(Debug, Default)]
pub(super) struct Fit {
    /// For each contender, in their order.
    pub(super) targets: SmallVec<[Option<Target>; 16]>,
    /// What the targets take, bits per second.
    pub(super) spent: u64,
    /// What the best layers would take.
    pub(super) ideal: u64,
    /// Somebody has less than the best layer.
    pub(super) is_limited: bool,
    /// Somebody has more, or less, than before.
    pub(super) climbed: bool,
    pub(super) fell: bool,
    /// The contender that is given up last, and what must be there for it to be kept; 0 if it has nothing.
    pub(super) leader: Option<usize>,
    pub(super) least: u64,
}

/// Shares `budget` (bits per second; `None` for no limit) among sources, most wanted first, and `trusted` beside it among
/// the least pictures of each. `may_climb`: sources may have more than before.
pub(super) fn fit(
    contenders: &[Contender],
    budget: Option<u64>,
    trusted: u64,
    may_climb: bool,
) -> Fit {
    let ladders: SmallVec<[Ladder; 16]> = contenders.iter().map(ladder).collect();
    let mut climbers: SmallVec<[Climber<'_>; 16]> =
        contenders.iter().zip(&ladders).map(Climber::new).collect();
    // Who cannot have a picture now does not keep others from having one.
    let leader = climbers.iter().position(|c| c.reach() > 0);
    if let Some(leader) = leader.and_then(|at| climbers.get_mut(at)) {
        leader.leads = true;
    }
    let budget = budget.unwrap_or(u64::MAX);
    let ideal = climbers.iter().map(|c| c.rate(c.top())).sum();
    match ideal <= budget && may_climb {
        true => climbers.iter_mut().for_each(|c| c.at = c.reach()),
        false => {
            let left = Left {
                all: budget.saturating_add(trusted),
                trusted,
            };
            share(&mut climbers, left, may_climb);
        }
    }
    let mut fit = Fit {
        ideal,
        spent: climbers.iter().map(|c| c.rate(c.at)).sum(),
        leader,
        ..Fit::default()
    };
    for climber in &climbers {
        fit.is_limited |= climber.at != climber.top();
        if climber.leads && climber.at > 0 {
            fit.least = climber.rate(1) * LAST_PICTURE / 8;
        }
        let known = climber.contender.held != Held::New;
        fit.climbed |= known && climber.at > climber.held;
        fit.fell |= known && climber.at < climber.held;
        fit.targets.push(climber.target());
    }
    fit
}

/// What a source is sent, and what could be had of it, as heights and rates, for whoever wants to know why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outlook {
    pub(super) now: Option<(u16, u64)>,
    pub(super) best: (u16, u64),
    /// What must be free besides for the next step.
    pub(super) missing: Option<u64>,
    /// Heights, temporal layers and rates of all steps.
    pub(super) steps: Vec<(u16, u8, u64)>,
}

/// See [`Outlook`].
pub(super) fn outlook(contender: &Contender) -> Outlook {
    let ladder = ladder(contender);
    let climber = Climber::new((contender, &ladder));
    let place = |at: usize| climber.step(at).map(|s| (s.height, s.rate));
    let next = climber.held + 1;
    let missing = climber
        .price(next)
        .saturating_sub(climber.rate(climber.held));
    Outlook {
        now: place(climber.held),
        best: place(climber.top()).unwrap_or_default(),
        missing: (next <= climber.top()).then_some(missing),
        steps: ladder
            .iter()
            .map(|s| (s.height, s.target.temporal, s.rate))
            .collect(),
    }
}

/// What is left to be shared out, bits per second.
struct Left {
    all: u64,
    /// What of it was for the least pictures alone.
    trusted: u64,
}

impl Left {
    /// What is left for whatever it be.
    fn free(&self) -> u64 {
        self.all.saturating_sub(self.trusted)
    }
}

/// Passes over all in their order, a step each, until nothing more fits.
fn share(climbers: &mut [Climber<'_>], mut left: Left, may_climb: bool) {
    for climber in climbers.iter_mut().filter(|c| c.contender.on_stage) {
        let goal = climber.stage_goal();
        while climber.at < goal && climber.climb(&mut left, may_climb) {}
    }
    let mut changed = true;
    while std::mem::take(&mut changed) {
        for climber in climbers.iter_mut() {
            changed |= climber.climb(&mut left, may_climb);
        }
    }
    if let Some(first) = climbers.first_mut() {
        first.oversend(left.free());
    }
}

/// A source on its ladder. Places count from 1; 0 is nothing.
struct Climber<'a> {
    contender: &'a Contender,
    ladder: &'a Ladder,
    at: usize,
    /// Where it was before.
    held: usize,
    /// The most wanted one that can be had: given up last.
    leads: bool,
}

impl<'a> Climber<'a> {
    fn new((contender, ladder): (&'a Contender, &'a Ladder)) -> Self {
        let held = match contender.held {
            Held::At(Some(target)) => {
                let place = ladder.iter().rposition(|s| {
                    let place = |t: Target| (t.encoding, t.spatial, t.temporal);
                    place(s.target) <= place(target)
                });
                place.map_or(1, |at| at + 1)
            }
            Held::At(None) | Held::New => 0,
        };
        Self {
            contender,
            ladder,
            at: 0,
            held: held.min(ladder.len()),
            leads: false,
        }
    }

    fn top(&self) -> usize {
        self.ladder.len()
    }

    /// Up to where it may climb: not to a layer that it has not, where it would have to wait for a key frame.
    fn reach(&self) -> usize {
        let layer = |place: usize| {
            let step = self.step(place);
            step.map(|s| (s.target.encoding, s.target.spatial))
        };
        let now = layer(self.held);
        let switchable = self.contender.switchable;
        let may = |place: &usize| {
            let layer = layer(*place);
            layer == now || layer.is_some_and(|(encoding, _)| switchable.has(encoding))
        };
        let above = (self.held..=self.top()).take_while(may);
        above.last().unwrap_or(0)
    }

    fn step(&self, place: usize) -> Option<&Step> {
        self.ladder.get(place.checked_sub(1)?)
    }

    fn rate(&self, place: usize) -> u64 {
        self.step(place).map_or(0, |s| s.rate)
    }

    fn target(&self) -> Option<Target> {
        self.step(self.at).map(|s| s.target)
    }

    /// What must be free for a place: more for one that it did not have.
    fn price(&self, place: usize) -> u64 {
        let rate = self.rate(place);
        match place > self.held {
            true if place == 1 && self.leads => rate * FIRST_PICTURE / 8,
            true => rate + rate / CLIMB_MARGIN,
            false if place == 1 && self.leads => rate * LAST_PICTURE / 8,
            false => rate - rate / KEEP_MARGIN,
        }
    }

    /// Up to where it climbs before others get anything, if it is on stage.
    fn stage_goal(&self) -> usize {
        let lowest = self.step(1).map_or(0, |s| s.height);
        let enough = self
            .ladder
            .iter()
            .rposition(|s| s.height <= STAGE_HEIGHT.max(lowest));
        enough.map_or(0, |at| at + 1)
    }

    /// Up to where it may begin where nobody climbs: its least height, if it had nothing because it was not wanted.
    fn start(&self) -> usize {
        let least = self.step(1).map(|s| s.height);
        match self.contender.held {
            Held::New => self
                .ladder
                .iter()
                .filter(|s| Some(s.height) == least)
                .count(),
            Held::At(_) => 0,
        }
    }

    /// Where nobody climbs, the most wanted source has a picture all the same if it fits well: a dark screen is worse than
    /// one that changes.
    fn last_resort(&self, left: u64) -> usize {
        let rate = self.rate(1);
        let fits = self.leads && rate + rate / CLIMB_MARGIN <= left;
        usize::from(fits)
    }

    /// Takes the next place, if what is left suffices, and with it all that cost no more.
    fn climb(&mut self, left: &mut Left, may_climb: bool) -> bool {
        let next = self.at + 1;
        let top = if may_climb {
            self.reach()
        } else {
            self.held
                .max(self.start())
                .max(self.last_resort(left.free()))
                .min(self.reach())
        };
        if next > top {
            return false;
        }
        let (now, price) = (self.rate(self.at), self.price(next));
        let room = match next == 1 && self.rate(1) <= LITTLE {
            true => left.all,
            false => left.free(),
        };
        if price > room.saturating_add(now) {
            return false;
        }
        left.all = left.all.saturating_add(now).saturating_sub(self.rate(next));
        self.at = next;
        while self.at < top && self.rate(self.at + 1) <= self.rate(self.at) {
            left.all += self.rate(self.at) - self.rate(self.at + 1);
            self.at += 1;
        }
        true
    }

    /// The first source, a shared screen on stage: legible even if that takes more than there is.
    fn oversend(&mut self, left: u64) {
        let c = self.contender;
        if !c.on_stage || !is_screen(c.video_type) {
            return;
        }
        let tallest = self.ladder.iter().map(|s| s.height).max();
        let legible = self.ladder.iter().position(|s| Some(s.height) == tallest);
        let legible = legible.map_or(0, |at| at + 1);
        let room = left
            .saturating_add(self.rate(self.at))
            .saturating_add(OVERSEND);
        if self.at < legible && self.rate(legible) <= room {
            self.at = legible;
        }
    }
}

pub(super) fn is_screen(video_type: VideoType) -> bool {
    matches!(video_type, VideoType::Desktop | VideoType::DesktopHighFps)
}

/// What can be had of a source, from the least to the best.
fn ladder(contender: &Contender) -> Ladder {
    let layers = &contender.layers;
    let any_active = layers.iter().any(|l| l.active);
    let usable = || layers.iter().filter(|l| l.active || !any_active);
    let smallest = usable().map(|l| l.height).min().unwrap_or(0);
    let limit = match contender.constraint {
        limit if limit < 0 => u16::MAX,
        limit => u16::try_from(limit).unwrap_or(u16::MAX).max(smallest),
    };
    let mut fitting: SmallVec<[&Layer; 4]> = usable()
        .filter(|l| l.height <= limit && (any_active || l.height == smallest))
        .collect();
    fitting.sort_by_key(|l| l.height);
    // Of equal heights one will do, the last.
    fitting.reverse();
    fitting.dedup_by_key(|l| l.height);
    fitting.reverse();
    let mut steps = Ladder::new();
    let legible_first = contender.video_type == VideoType::Desktop;
    for (n, layer) in fitting.iter().enumerate() {
        let is_top = n + 1 == fitting.len();
        let thinned = match legible_first {
            // Resolution before frames: the least of each height, and all frames of the greatest.
            true => true,
            // Frames before resolution: below the lowest height they are thinned.
            false => n == 0,
        };
        let rates = layer.rates.unwrap_or_else(|| expected(layer));
        for (temporal, rate) in thinnings(&rates, thinned) {
            let is_least = temporal == 0 || !thinned;
            if legible_first && !is_top && !is_least {
                continue;
            }
            steps.push(Step {
                target: Target {
                    encoding: layer.encoding,
                    spatial: layer.spatial,
                    temporal,
                },
                height: layer.height,
                // What nobody has seen yet costs nothing.
                rate: if any_active { rate } else { 0 },
            });
        }
    }
    steps
}

/// Temporal layers that differ in rate, with their rates; the last one stands for all.
fn thinnings(rates: &LayerRates, thinned: bool) -> SmallVec<[(u8, u64); TEMPORAL_LAYERS]> {
    let mut list: SmallVec<[(u8, u64); TEMPORAL_LAYERS]> = SmallVec::new();
    for (temporal, rate) in rates.iter().enumerate() {
        if list
            .last()
            .is_none_or(|(_, below)| u64::from(*rate) > *below)
        {
            list.push((temporal as u8, u64::from(*rate)));
        }
    }
    if let Some(all) = list.last_mut() {
        all.0 = ALL_TEMPORAL;
    }
    let skipped = if thinned {
        0
    } else {
        list.len().saturating_sub(1)
    };
    list.drain(..skipped);
    list
}

/// What a layer is taken to need until that is measured: about what browsers give to each height.
fn expected(layer: &Layer) -> LayerRates {
    let rate = match layer.height {
        ..=200 => 180_000,
        201..=400 => 500_000,
        401..=800 => 1_500_000,
        _ => 2_500_000,
    };
    [rate; TEMPORAL_LAYERS]
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: [u32; 3] = [150_000, 500_000, 1_500_000];

    fn camera(held: Held) -> Contender {
        let layer = |(encoding, (height, full)): (u8, (u16, u32))| Layer {
            encoding,
            spatial: 0,
            height,
            active: true,
            rates: Some([full / 2, full * 3 / 4, full, full]),
        };
        Contender {
            layers: (0..)
                .zip([180, 360, 720].into_iter().zip(FULL))
                .map(layer)
                .collect(),
            constraint: 720,
            video_type: VideoType::Camera,
            on_stage: false,
            switchable: Encodings::first(4),
            held,
        }
    }

    fn at(encoding: u8, temporal: u8) -> Option<Target> {
        Some(Target {
            encoding,
            spatial: 0,
            temporal,
        })
    }

    fn all(encoding: u8) -> Option<Target> {
        at(encoding, ALL_TEMPORAL)
    }

    fn targets(contenders: &[Contender], budget: u64) -> Vec<Option<Target>> {
        fit(contenders, Some(budget), 0, true).targets.to_vec()
    }

    #[test]
    fn what_fits_is_shared_from_the_first_to_the_last() {
        let two = || [camera(Held::New), camera(Held::New)];
        for (budget, expected) in [
            (50_000, [None, None]),
            (90_000, [at(0, 0), None]),
            (170_000, [at(0, 0), at(0, 0)]),
            (210_000, [at(0, 1), at(0, 0)]),
            (320_000, [all(0), all(0)]),
            (720_000, [all(1), all(0)]),
            (1_070_000, [all(1), all(1)]),
            (2_190_000, [all(2), all(1)]),
            (3_000_000, [all(2), all(2)]),
        ] {
            let fit = fit(&two(), Some(budget), 0, true);
            assert_eq!(fit.targets[..], expected, "{budget}");
            assert!(fit.spent <= budget, "{budget}");
            assert_eq!((fit.ideal, fit.is_limited), (3_000_000, budget < 3_000_000));
        }
        assert_eq!(fit(&two(), None, 0, true).targets[..], [all(2), all(2)]);
    }

    #[test]
    fn what_a_line_is_trusted_with_is_for_the_least_pictures() {
        let two = [camera(Held::New), camera(Held::New)];
        let fit = |trusted, may_climb| {
            let fit = fit(&two, Some(50_000), trusted, may_climb);
            fit.targets.to_vec()
        };
        assert_eq!(fit(0, false), [None, None]);
        for may_climb in [false, true] {
            assert_eq!(fit(200_000, may_climb), [at(0, 0), at(0, 0)]);
            assert_eq!(fit(9_000_000, may_climb), [at(0, 0), at(0, 0)]);
        }
        let mut tall = camera(Held::New);
        tall.layers.drain(..2);
        let all = super::fit(&[tall], Some(50_000), 9_000_000, true);
        assert_eq!(
            all.targets[..],
            [None],
            "a great one waits until more is known"
        );
    }

    #[test]
    fn the_stage_has_its_height_before_others_have_anything() {
        let stage = || Contender {
            on_stage: true,
            ..camera(Held::New)
        };
        let both = |budget| targets(&[stage(), camera(Held::New)], budget);
        assert_eq!(both(170_000), [all(0), None]);
        assert_eq!(both(570_000), [all(1), None]);
        assert_eq!(both(650_000), [all(1), at(0, 1)]);
        // What is left over by the stage is of use to others.
        assert_eq!(both(300_000), [all(0), at(0, 1)]);
    }

    #[test]
    fn a_layer_is_kept_where_it_would_not_be_begun() {
        let held = |target| targets(&[camera(Held::At(target))], 520_000);
        assert_eq!(held(all(0)), [all(0)]);
        assert_eq!(held(all(1)), [all(1)]);
        assert_eq!(held(all(2)), [all(1)]);
        let fit = fit(&[camera(Held::At(all(2)))], Some(520_000), 0, true);
        assert!(fit.fell && !fit.climbed);
    }

    #[test]
    fn the_last_picture_is_given_up_last() {
        let two = [camera(Held::At(at(0, 0))), camera(Held::At(at(0, 0)))];
        for (budget, expected) in [
            (148_000, [at(0, 0), at(0, 0)]),
            (130_000, [at(0, 1), None]),
            (30_000, [at(0, 0), None]),
            (25_000, [None, None]),
        ] {
            assert_eq!(targets(&two, budget), expected, "{budget}");
        }
    }

    #[test]
    fn nobody_climbs_while_it_is_held_back_but_newcomers() {
        let contenders = [
            camera(Held::At(all(0))),
            camera(Held::At(None)),
            camera(Held::New),
        ];
        let fit = fit(&contenders, Some(10_000_000), 0, false);
        assert_eq!(fit.targets[..], [all(0), None, all(0)]);
        assert!(fit.is_limited && !fit.climbed && !fit.fell);
    }

    #[test]
    fn without_a_key_frame_nobody_begins_a_picture_or_a_layer() {
        let waiting = |held| Contender {
            switchable: Encodings::default(),
            ..camera(held)
        };
        let both = |budget| {
            let two = [waiting(Held::At(None)), waiting(Held::At(at(0, 0)))];
            let fit = fit(&two, Some(budget), 0, true);
            (fit.targets.to_vec(), fit.leader)
        };
        assert_eq!(both(9_000_000), (vec![None, all(0)], Some(1)));
        // It is given up last, in place of who cannot have a picture.
        assert_eq!(both(50_000), (vec![None, at(0, 0)], Some(1)));
        // Less can always be had.
        assert_eq!(targets(&[waiting(Held::At(all(1)))], 160_000), [all(0)]);
    }

    #[test]
    fn the_most_wanted_has_a_picture_while_climbs_are_held_back() {
        let two = [camera(Held::At(None)), camera(Held::At(None))];
        let fit = |budget| fit(&two, Some(budget), 0, false).targets.to_vec();
        assert_eq!(fit(300_000), [at(0, 0), None]);
        assert_eq!(fit(80_000), [None, None], "only where it fits well");
    }

    #[test]
    fn a_screen_is_legible_first() {
        let screen = |video_type, on_stage| Contender {
            video_type,
            on_stage,
            ..camera(Held::New)
        };
        let one = |c, budget| targets(&[c], budget)[0];
        // Frames before resolution, and the other way round.
        assert_eq!(
            one(screen(VideoType::DesktopHighFps, false), 300_000),
            all(0)
        );
        assert_eq!(one(screen(VideoType::Desktop, false), 300_000), at(1, 0));
        assert_eq!(one(screen(VideoType::Desktop, false), 850_000), at(2, 0));
        assert_eq!(one(screen(VideoType::Desktop, false), 1_700_000), all(2));
        // On stage, half a megabit more than there is.
        assert_eq!(one(screen(VideoType::Desktop, true), 300_000), at(2, 0));
        assert_eq!(one(screen(VideoType::Desktop, true), 200_000), at(0, 0));
    }

    #[test]
    fn what_is_not_sent_is_not_chosen_and_a_first_key_frame_is_hoped_for() {
        let active = |flags: [bool; 3]| {
            let mut c = camera(Held::New);
            c.layers
                .iter_mut()
                .zip(flags)
                .for_each(|(l, f)| l.active = f);
            c
        };
        assert_eq!(targets(&[active([true, false, true])], 800_000), [all(0)]);
        assert_eq!(targets(&[active([false, true, true])], 600_000), [all(1)]);
        assert_eq!(targets(&[active([false; 3])], 0), [all(0)]);
    }

    #[test]
    fn a_layer_that_costs_no_more_comes_with_the_one_below() {
        let mut c = camera(Held::New);
        c.layers[1].rates = Some([100_000; 4]);
        assert_eq!(targets(&[c], 170_000), [all(1)]);
    }
}
