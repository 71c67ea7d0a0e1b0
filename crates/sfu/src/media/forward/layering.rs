//! Which frames of an encoding go on to a receiver: temporal layers of VP8, spatial and temporal ones of VP9 and AV1.
//!
//! A frame goes on only if what it refers to went on, so that nothing is sent that cannot be decoded. Lower layers are
//! taken at once where that holds, higher ones from a frame on that needs nothing that was left out, else from a key frame.

use crate::media::packet::Codec;
use rtp::av1::{Frame, Indication};
use rtp::vp8::Vp8;
use rtp::vp9::Vp9;

/// Pictures (AV1: frames) remembered, a power of two: packets that come later than that are left out.
const REMEMBERED: usize = 64;
/// Without points to switch up at, higher temporal layers are taken after so many pictures of the lowest one.
const PATIENCE: u8 = 4;
/// A spatial layer that is missing in so many pictures in a row is not sent.
const MISSING: u8 = 4;

/// The highest layers that are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) spatial: u8,
    pub(super) temporal: u8,
}

/// A packet that goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// It ends what goes on of its picture.
    pub(super) ends: bool,
    /// AV1: decode targets that are active from here on; 0 for no change.
    pub(super) active: u32,
}

/// What was decided of a picture; of AV1, of a frame.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    number: u64,
    /// Highest spatial and temporal layer that go on.
    spatial: u8,
    temporal: u8,
    /// Spatial layers that were decided about, and those that go on, as bits.
    decided: u8,
    passed: u8,
    /// Spatial layers that were whole before it, as bits.
    whole: u8,
    /// AV1: as in [`Passed`].
    active: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Layering {
    spatial: u8,
    temporal: u8,
    /// Spatial layers of which everything since the key frame went on but what temporal layers left out, as bits.
    whole: u8,
    /// Highest spatial layer that comes in, and for how many pictures it did not.
    top: u8,
    missing: u8,
    /// Pictures of the lowest temporal layer since a higher one is wanted.
    waited: u8,
    newest: u64,
    /// Empty before the first packet of a codec with layers of its own.
    seen: Vec<Seen>,
}

impl Layering {
    /// Before a key frame of an encoding.
    pub(super) fn new(wanted: Wanted) -> Self {
        Self {
            spatial: wanted.spatial,
            temporal: wanted.temporal,
            whole: 0,
            top: 0,
            missing: 0,
            waited: 0,
            newest: 0,
            seen: Vec::new(),
        }
    }

    /// Highest spatial layer that goes on.
    pub(super) fn spatial(&self) -> u8 {
        self.spatial
    }

    /// Whether only a key frame can bring what is wanted.
    pub(super) fn needs_key_frame(&self, wanted: Wanted) -> bool {
        let goal = wanted.spatial.min(self.top);
        let now = self.spatial.min(self.top);
        goal > now || self.whole & 1 << goal == 0
    }

    /// Whether a packet goes on. `number` of its picture, unwrapped; `newer`: nothing of it came before.
    pub(super) fn admit(
        &mut self,
        codec: &Codec,
        number: Option<u64>,
        newer: bool,
        wanted: Wanted,
    ) -> Option<Passed> {
        match (codec, number) {
            (Codec::Vp8(vp8), _) => self.admit_vp8(vp8, newer, wanted.temporal),
            (Codec::Vp9(vp9), Some(number)) if vp9.has_layers => {
                self.admit_vp9(vp9, number, wanted)
            }
            (Codec::Av1(Some(frame)), Some(number)) if frame.targets > 0 => {
                self.admit_av1(frame, number, wanted)
            }
            _ => {
                self.whole = u8::MAX;
                Some(Passed::default())
            }
        }
    }

    fn admit_vp8(&mut self, vp8: &Vp8, newer: bool, wanted: u8) -> Option<Passed> {
        self.whole = u8::MAX;
        let layer = vp8.temporal_id.unwrap_or(0);
        if newer {
            // Down at once, up only where the frame needs nothing that was left out.
            if vp8.key_frame || wanted <= self.temporal {
                self.temporal = wanted;
            } else if vp8.layer_sync && layer > self.temporal && layer <= wanted {
                self.temporal = layer;
            }
        }
        (layer <= self.temporal).then(Passed::default)
    }

    fn admit_vp9(&mut self, vp9: &Vp9, number: u64, wanted: Wanted) -> Option<Passed> {
        let layer = vp9.spatial_id.min(7);
        let bit = 1u8 << layer;
        if number > self.newest {
            self.begin_vp9(vp9, number, wanted);
        }
        self.see_layer(layer, number);
        let (whole, top) = (self.whole, self.top);
        let seen = self.find(number)?;
        if seen.decided & bit == 0 {
            seen.decided |= bit;
            let earlier = !vp9.inter_picture_predicted || seen.whole & bit != 0;
            // A lower layer that has not come yet may still come.
            let refused = seen.decided & !seen.passed;
            let lower = !vp9.inter_layer || refused & bit >> 1 == 0;
            let needed = layer == seen.spatial.min(top) || !vp9.not_upper_reference;
            let passes = vp9.temporal_id <= seen.temporal
                && layer <= seen.spatial
                && earlier
                && lower
                && needed;
            seen.passed |= if passes { bit } else { 0 };
            if vp9.temporal_id <= seen.temporal && number == self.newest {
                self.whole = if passes { whole | bit } else { whole & !bit };
            }
        }
        let seen = self.find(number)?;
        let ends = vp9.end_of_frame && layer >= seen.spatial;
        (seen.passed & bit != 0).then_some(Passed { ends, active: 0 })
    }

    /// The first packet of a new picture came.
    fn begin_vp9(&mut self, vp9: &Vp9, number: u64, wanted: Wanted) {
        self.skip_to(number, self.reachable());
        let layer = vp9.temporal_id;
        let key = !vp9.inter_picture_predicted && vp9.spatial_id == 0;
        if key {
            // Until one of them is left out.
            (self.spatial, self.whole) = (wanted.spatial, (2u8 << wanted.spatial.min(6)) - 1);
            if let Some(structure) = &vp9.structure {
                self.top = structure.spatial_layers.saturating_sub(1);
            }
        } else if wanted.spatial < self.spatial && self.whole & 1 << wanted.spatial != 0 {
            self.spatial = wanted.spatial;
        }
        self.waited += u8::from(layer == 0 && wanted.temporal > self.temporal);
        let may_rise = vp9.switching_up && layer <= self.temporal;
        if key || wanted.temporal <= self.temporal {
            (self.temporal, self.waited) = (wanted.temporal, 0);
        } else if may_rise || layer == 0 && self.waited >= PATIENCE {
            // The pictures after this one need no higher layer from before it.
            (self.temporal, self.waited) = (wanted.temporal, 0);
        }
        self.missing += u8::from(self.seen_top(self.newest) < Some(self.top));
        if self.missing >= MISSING {
            (self.top, self.missing) = (self.seen_top(self.newest).unwrap_or(0), 0);
        }
        let spatial = match vp9.inter_picture_predicted {
            true => self.reachable(),
            false => self.spatial,
        };
        self.remember(number, spatial);
    }

    /// Highest spatial layer that can go on of a picture that is predicted from earlier ones.
    fn reachable(&self) -> u8 {
        let whole = (0..=self.spatial.min(7))
            .rev()
            .find(|s| self.whole & 1 << s != 0);
        whole.unwrap_or(self.spatial)
    }

    /// Highest spatial layer that came of a picture.
    fn seen_top(&mut self, number: u64) -> Option<u8> {
        let seen = self.find(number)?;
        (7u32.checked_sub(seen.decided.leading_zeros())).map(|top| top as u8)
    }

    fn see_layer(&mut self, layer: u8, number: u64) {
        if layer >= self.top && number == self.newest {
            (self.top, self.missing) = (layer, 0);
        }
    }

    fn admit_av1(&mut self, frame: &Frame, number: u64, wanted: Wanted) -> Option<Passed> {
        if number > self.newest {
            self.begin_av1(frame, number, wanted);
        }
        let seen = *self.find(number)?;
        if seen.decided == 0 {
            let passes = self.passes_av1(frame, &seen);
            let seen = self.find(number)?;
            let temporal = seen.temporal;
            (seen.decided, seen.passed) = (1, u8::from(passes));
            if frame.temporal <= temporal {
                let bit = 1u8 << frame.spatial.min(7);
                self.whole = match passes {
                    true => self.whole | bit,
                    false => self.whole & !bit,
                };
            }
        }
        let seen = self.find(number)?;
        let passed = Passed {
            ends: frame.end && frame.spatial >= seen.spatial,
            active: seen.active,
        };
        (seen.passed != 0).then_some(passed)
    }

    /// The first packet of a new frame came.
    fn begin_av1(&mut self, frame: &Frame, number: u64, wanted: Wanted) {
        self.skip_to(number, self.spatial);
        let (spatial, temporal) = (wanted.spatial, wanted.temporal);
        let target = frame.best_target(spatial, temporal).unwrap_or(0);
        let key = frame.structure.is_some();
        let all = (0..frame.targets).map(|t| frame.layers_of(t).0);
        self.top = all.max().unwrap_or(0);
        let current = frame.best_target(self.spatial, self.temporal);
        // Not in the middle of a picture: what went on of it may have been told to be its end.
        let may_switch = current != Some(target)
            && frame.spatial <= self.spatial
            && frame.indication(target) == Indication::Switch
            && self.has_references(frame, number);
        let mut active = 0;
        if key || may_switch {
            (self.spatial, self.temporal) = (spatial, temporal);
            if key || current != Some(target) {
                active = frame.mask_within(target);
            }
        }
        if key {
            self.whole = 0;
        }
        let goes_on = frame.best_target(self.spatial, self.temporal);
        let spatial = goes_on.map_or(0, |target| frame.layers_of(target).0);
        self.remember(number, spatial);
        if let Some(seen) = self.find(number) {
            seen.active = active;
        }
    }

    fn passes_av1(&mut self, frame: &Frame, seen: &Seen) -> bool {
        let target = frame.best_target(seen.spatial, seen.temporal);
        let present = |target| frame.indication(target) != Indication::NotPresent;
        target.is_some_and(present) && !self.lacks_references(frame, seen.number)
    }

    /// Whether everything that a frame refers to is known to have gone on.
    fn has_references(&mut self, frame: &Frame, number: u64) -> bool {
        let Some(references) = frame.references() else {
            return false;
        };
        references.iter().all(|diff| {
            let seen = self.find(number.wrapping_sub((*diff).into()));
            seen.is_some_and(|seen| seen.passed != 0)
        })
    }

    /// Whether something that a frame refers to is known to have been left out.
    fn lacks_references(&mut self, frame: &Frame, number: u64) -> bool {
        let references = frame.references().unwrap_or_default();
        references.iter().any(|diff| {
            let seen = self.find(number.wrapping_sub((*diff).into()));
            seen.is_some_and(|seen| seen.decided != 0 && seen.passed == 0)
        })
    }

    fn find(&mut self, number: u64) -> Option<&mut Seen> {
        let place = self.seen.get_mut(number as usize % REMEMBERED)?;
        (place.number == number).then_some(place)
    }

    /// Numbers up to the one before `number` were passed over: what comes of them late is judged by what goes on now.
    fn skip_to(&mut self, number: u64, spatial: u8) {
        if self.newest == 0 {
            return;
        }
        let from = (self.newest + 1).max(number.saturating_sub(REMEMBERED as u64));
        for skipped in from..number {
            self.remember(skipped, spatial);
        }
    }

    /// A picture is the newest.
    fn remember(&mut self, number: u64, spatial: u8) {
        if self.seen.is_empty() {
            self.seen = vec![Seen::default(); REMEMBERED];
        }
        self.newest = number;
        let (temporal, whole) = (self.temporal, self.whole);
        if let Some(place) = self.seen.get_mut(number as usize % REMEMBERED) {
            *place = Seen {
                number,
                spatial,
                temporal,
                whole,
                ..Seen::default()
            };
        }
    }
}
