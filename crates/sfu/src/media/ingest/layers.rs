//! The layers of an encoding as they come in: one, or the spatial layers of a scalable stream (VP9, AV1).

use super::rates::{LayerRates, Rates};
use crate::media::packet::Codec;
use rtp::av1::{Indication, Structure};
use smallvec::SmallVec;

/// A layer without a packet for this long is not being sent, microseconds.
const IDLE: u64 = 1_000_000;
/// Most spatial layers told apart.
const MOST: usize = 4;

/// What can be had of a source: an encoding up to and with one of its spatial layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) encoding: u8,
    pub(crate) spatial: u8,
    /// The smaller dimension, pixels.
    pub(crate) height: u16,
    /// Packets of it come in.
    pub(crate) active: bool,
    /// What it takes up to and with each temporal layer, with the spatial ones that it needs; `None` before that was
    /// measured.
    pub(crate) rates: Option<LayerRates>,
}

#[derive(Debug)]
struct Spatial {
    height: u16,
    active: bool,
    last: u64,
    rates: Rates,
}

/// See the module.
#[derive(Debug)]
pub(super) struct EncodingLayers {
    encoding: u8,
    list: SmallVec<[Spatial; 1]>,
    /// Upper spatial layers need the lower ones in every picture, not only in key pictures.
    stacked: bool,
}

impl EncodingLayers {
    /// One layer of which nothing came. `height`: until a key frame tells the truth.
    pub(super) fn new(encoding: u8, height: u16) -> Self {
        Self {
            encoding,
            list: std::iter::once(Self::idle(height)).collect(),
            stacked: false,
        }
    }

    fn idle(height: u16) -> Spatial {
        Spatial {
            height,
            active: false,
            last: 0,
            rates: Rates::default(),
        }
    }

    /// The layers, lowest first.
    pub(super) fn get(&self, now: u64) -> impl Iterator<Item = Layer> + '_ {
        let mut below: Option<LayerRates> = None;
        let layers = self.list.iter().enumerate();
        layers.map(move |(spatial, s)| {
            let mut rates = s.rates.get(now);
            if let (Some(rates), Some(below), true) = (&mut rates, &below, self.stacked) {
                rates
                    .iter_mut()
                    .zip(below)
                    .for_each(|(rate, below)| *rate += below);
            }
            below = rates;
            Layer {
                encoding: self.encoding,
                spatial: spatial as u8,
                height: s.height,
                active: s.active,
                rates,
            }
        })
    }

    /// A packet came, of a key frame or not; whether a layer came with it.
    #[inline]
    pub(super) fn note(&mut self, now: u64, codec: &Codec, len: usize, key: bool) -> bool {
        let (spatial, temporal) = codec.layer();
        let spatial = usize::from(spatial).min(MOST - 1);
        let top = self.list.last().map_or(0, |s| s.height);
        while spatial >= self.list.len() {
            self.list.push(Self::idle(top));
        }
        match codec {
            Codec::Vp9(vp9) if spatial > 0 && vp9.inter_picture_predicted => {
                self.stacked = vp9.inter_layer;
            }
            Codec::Av1(Some(frame)) if spatial == 0 && frame.structure.is_none() => {
                let top = frame.best_target(u8::MAX, u8::MAX);
                let needed = |target| frame.indication(target) != Indication::NotPresent;
                self.stacked = top.is_some_and(needed);
            }
            _ => {}
        }
        let Some(layer) = self.list.get_mut(spatial) else {
            return false;
        };
        layer.last = now;
        layer.rates.note(now, temporal, len, key);
        !std::mem::replace(&mut layer.active, true)
    }

    /// A key frame came; whether what it tells of layers is news. `structure`: the one in force, of AV1.
    pub(super) fn learn(&mut self, codec: &Codec, structure: Option<&Structure>) -> bool {
        let smaller = |(width, height): (u16, u16)| width.min(height);
        let mut heights: SmallVec<[u16; MOST]> = SmallVec::new();
        match codec {
            Codec::Vp8(vp8) => heights.extend(vp8.size.map(smaller)),
            Codec::Vp9(vp9) => {
                if let Some((s, sizes)) = vp9.structure.and_then(|s| Some((s, s.sizes?))) {
                    let count = usize::from(s.spatial_layers).min(MOST);
                    heights.extend(sizes.into_iter().take(count).map(smaller));
                }
            }
            Codec::Av1(Some(_)) => {
                let sizes = structure.iter().flat_map(|s| &s.resolutions).take(MOST);
                let pixels = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
                heights.extend(sizes.map(|(w, h)| pixels(*w.min(h))));
            }
            Codec::Av1(None) | Codec::H264 | Codec::Opaque => {}
        }
        // What tells no sizes has one layer.
        let count = match heights.len() {
            0 if matches!(codec, Codec::Vp9(_) | Codec::Av1(Some(_))) => self.list.len(),
            0 => 1,
            count => count,
        };
        let mut changed = count < self.list.len();
        self.list.truncate(count);
        for (at, height) in heights.into_iter().enumerate() {
            match self.list.get_mut(at) {
                Some(layer) => changed |= std::mem::replace(&mut layer.height, height) != height,
                None => self.list.push(Self::idle(height)),
            }
        }
        changed
    }

    /// Notes layers that stopped coming in; whether there are any.
    pub(super) fn sweep(&mut self, now: u64) -> bool {
        let mut stopped = false;
        for layer in &mut self.list {
            if layer.active && now.saturating_sub(layer.last) >= IDLE {
                layer.active = false;
                stopped = true;
            }
        }
        stopped
    }
}
