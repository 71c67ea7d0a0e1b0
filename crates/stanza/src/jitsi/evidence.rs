//! Ours: what bridges can tell a focus beside their load, so that it can tell a dead bridge from one that is merely cut off.
//!
//! [`People`] stands in the answer to a health check that asks for it: whom the bridge hears. [`Probe`] asks a bridge
//! whether the media ports of another one answer.

use std::net::SocketAddr;

use minidom::Element;

use crate::build::element;
use crate::ns;

/// Meetings named in one [`People`].
const MAX_MEETINGS: usize = 64;
/// Relays named in one [`People`].
const MAX_RELAYS: usize = 64;
/// Addresses in one [`Probe`].
const MAX_ADDRESSES: usize = 8;

/// Whom a bridge hears.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct People {
    /// Its people.
    pub here: usize,
    /// Of these, people from whom nothing came for seconds although something should.
    pub unheard: usize,
    /// Of these, people on the way to whom more than a tenth is lost.
    pub lossy: usize,
    /// Meetings in which the bridge hears nobody, the first of them.
    pub silent: Vec<SilentMeeting>,
    /// Relays to other bridges through which nothing comes, the first of them.
    pub broken: Vec<BrokenRelay>,
}

/// A relay through which nothing comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenRelay {
    /// The meeting's key on bridges.
    pub meeting_id: String,
    /// What the bridge calls the other one.
    pub relay: String,
}

/// A meeting in which a bridge hears nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilentMeeting {
    /// Its key on bridges.
    pub meeting_id: String,
    /// Its people on the bridge.
    pub here: usize,
}

impl People {
    /// What stands in a health check of whoever wants to know.
    #[must_use]
    pub fn question() -> Element {
        element("people", ns::PEOPLE).done()
    }

    /// Whether a health check asks for it.
    #[must_use]
    pub fn is_asked(health_check: &Element) -> bool {
        health_check.has_child("people", ns::PEOPLE)
    }

    /// Finds it in the answer to a health check.
    #[must_use]
    pub fn of_answer(iq: &Element) -> Option<Self> {
        let people = iq.get_child("people", ns::PEOPLE)?;
        let silent = people.children().filter(|c| c.is("meeting", ns::PEOPLE));
        let meeting = |meeting: &Element| {
            Some(SilentMeeting {
                meeting_id: meeting.attr("id")?.to_owned(),
                here: number(meeting, "here"),
            })
        };
        let relays = people.children().filter(|c| c.is("relay", ns::PEOPLE));
        let relay = |relay: &Element| {
            Some(BrokenRelay {
                meeting_id: relay.attr("meeting")?.to_owned(),
                relay: relay.attr("id")?.to_owned(),
            })
        };
        Some(Self {
            here: number(people, "here"),
            unheard: number(people, "unheard"),
            lossy: number(people, "lossy"),
            silent: silent.filter_map(meeting).take(MAX_MEETINGS).collect(),
            broken: relays.filter_map(relay).take(MAX_RELAYS).collect(),
        })
    }
}

/// A count; whatever is none is 0.
fn number(element: &Element, name: &str) -> usize {
    element.attr(name).and_then(|n| n.parse().ok()).unwrap_or(0)
}

impl From<&People> for Element {
    fn from(people: &People) -> Self {
        let silent = people.silent.iter().take(MAX_MEETINGS).map(|meeting| {
            element("meeting", ns::PEOPLE)
                .attr("id", &meeting.meeting_id)
                .attr("here", meeting.here)
        });
        let broken = people.broken.iter().take(MAX_RELAYS).map(|relay| {
            element("relay", ns::PEOPLE)
                .attr("meeting", &relay.meeting_id)
                .attr("id", &relay.relay)
        });
        element("people", ns::PEOPLE)
            .attr("here", people.here)
            .attr("unheard", people.unheard)
            .attr("lossy", people.lossy)
            .children(silent)
            .children(broken)
            .done()
    }
}

/// A question to a bridge: do these media ports of another bridge answer? A STUN binding request goes to each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probe {
    /// The ports.
    pub addresses: Vec<SocketAddr>,
}

impl Probe {
    /// The answer.
    #[must_use]
    pub fn answer(answered: bool) -> Element {
        let probe = element("probe", ns::PROBE);
        probe.attr("answered", answered).done()
    }

    /// Reads an answer; nothing if it is none.
    #[must_use]
    pub fn read_answer(iq: &Element) -> Option<bool> {
        let probe = iq.get_child("probe", ns::PROBE)?;
        probe.attr("answered").map(|answered| answered == "true")
    }

    /// Reads a question.
    #[must_use]
    pub fn of_element(probe: &Element) -> Self {
        let addresses = probe.children().filter(|c| c.is("address", ns::PROBE));
        let addresses = addresses.filter_map(|a| a.attr("at")?.parse().ok());
        Self {
            addresses: addresses.take(MAX_ADDRESSES).collect(),
        }
    }
}

impl From<&Probe> for Element {
    fn from(probe: &Probe) -> Self {
        let addresses = probe.addresses.iter().take(MAX_ADDRESSES);
        let addresses = addresses.map(|at| element("address", ns::PROBE).attr("at", at));
        element("probe", ns::PROBE).children(addresses).done()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iq(child: Element) -> Element {
        element("iq", ns::CLIENT).child(child).done()
    }

    #[test]
    fn what_is_written_is_read() {
        let people = People {
            here: 5,
            unheard: 3,
            lossy: 1,
            silent: vec![SilentMeeting {
                meeting_id: "m".to_owned(),
                here: 3,
            }],
            broken: vec![BrokenRelay {
                meeting_id: "m".to_owned(),
                relay: "b2".to_owned(),
            }],
        };
        assert_eq!(People::of_answer(&iq((&people).into())), Some(people));
        let probe = Probe {
            addresses: vec![
                "10.0.0.1:10000".parse().unwrap(),
                "[::1]:1".parse().unwrap(),
            ],
        };
        assert_eq!(Probe::of_element(&(&probe).into()), probe);
        assert_eq!(Probe::read_answer(&iq(Probe::answer(true))), Some(true));
        assert_eq!(Probe::read_answer(&iq(Probe::answer(false))), Some(false));
    }

    #[test]
    fn nonsense_is_nothing() {
        let text = "<iq xmlns='jabber:client'><people xmlns='urn:pontoon:people:0' here='-1' unheard='x'>\
                    <meeting xmlns='urn:pontoon:people:0' here='2'/><relay xmlns='urn:pontoon:people:0' id='b2'/></people></iq>";
        let read = People::of_answer(&text.parse().unwrap());
        assert_eq!(read, Some(People::default()));
        let text = "<probe xmlns='urn:pontoon:probe:0'><address xmlns='urn:pontoon:probe:0' at='a.test:1'/></probe>";
        assert_eq!(Probe::of_element(&text.parse().unwrap()), Probe::default());
        let empty = element("iq", ns::CLIENT).done();
        assert_eq!(
            (Probe::read_answer(&empty), People::of_answer(&empty)),
            (None, None)
        );
    }
}
