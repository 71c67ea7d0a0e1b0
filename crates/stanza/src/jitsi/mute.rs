//! Remote mute: `<mute xmlns='http://jitsi.org/jitmeet/{audio,video,desktop}'>`.
//!
//! A participant asks the focus with `jid` (whom), the focus tells the client with `actor` (who asked).

use jid::Jid;
use minidom::Element;

use crate::build::element;
use crate::{ElementExt, ns};

/// What is muted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MuteMedia {
    /// The microphone.
    Audio,
    /// The camera.
    Video,
    /// The shared screen.
    Desktop,
}

impl MuteMedia {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Audio, Self::Video, Self::Desktop];

    /// The name in messages of the moderation component.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Desktop => "desktop",
        }
    }

    /// Reads the name in messages of the moderation component.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|media| media.name() == name)
    }

    /// The namespace of the `mute` element.
    #[must_use]
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::Audio => ns::JITMEET_AUDIO,
            Self::Video => ns::JITMEET_VIDEO,
            Self::Desktop => ns::JITMEET_DESKTOP,
        }
    }
}

/// A `mute` element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mute {
    /// What.
    pub media: MuteMedia,
    /// Whom, as occupant address; in requests.
    pub jid: Option<Jid>,
    /// Who asked, as occupant address; in what the client is told.
    pub actor: Option<Jid>,
    /// Mute or unmute; `None` where the text is neither.
    pub mute: Option<bool>,
}

impl Mute {
    /// Finds the `mute` element of an IQ.
    #[must_use]
    pub fn of_iq(iq: &Element) -> Option<Self> {
        MuteMedia::ALL.into_iter().find_map(|media| {
            let mute = iq.get_child("mute", media.namespace())?;
            Some(Self {
                media,
                jid: mute.jid("jid"),
                actor: mute.jid("actor"),
                mute: mute.text().trim().parse().ok(),
            })
        })
    }
}

impl From<&Mute> for Element {
    fn from(mute: &Mute) -> Self {
        let built = element("mute", mute.media.namespace())
            .attr_opt("jid", mute.jid.as_ref())
            .attr_opt("actor", mute.actor.as_ref());
        match mute.mute {
            Some(value) => built.text(value).done(),
            None => built.done(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element;

    #[test]
    fn each_kind_round_trips() {
        for media in MuteMedia::ALL {
            let mute = Mute {
                media,
                jid: Jid::new("r@c.test/a").ok(),
                actor: None,
                mute: Some(true),
            };
            let iq = element("iq", ns::CLIENT).child(&mute).done();
            assert_eq!(Mute::of_iq(&iq), Some(mute));
            assert_eq!(MuteMedia::from_name(media.name()), Some(media));
        }
    }

    #[test]
    fn a_text_that_is_no_truth_value() {
        let iq = element("iq", ns::CLIENT)
            .child(element("mute", ns::JITMEET_VIDEO).text("perhaps"))
            .done();
        assert_eq!(
            Mute::of_iq(&iq),
            Some(Mute {
                media: MuteMedia::Video,
                jid: None,
                actor: None,
                mute: None
            })
        );
        assert_eq!(Mute::of_iq(&element("iq", ns::CLIENT).done()), None);
    }
}
