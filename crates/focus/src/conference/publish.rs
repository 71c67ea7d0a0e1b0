//! What the room is told of the conference: the presence of the focus.

use stanza::{element, ns};

use super::{Conference, Phase};
use crate::config::NICK;
use crate::context::Context;

impl Conference {
    /// Sends the whole presence of the focus. Without the join element, or the room would send everything again.
    pub(super) fn publish(&self, cx: &mut Context<'_>) {
        let presence = element("presence", ns::CLIENT).attr("to", self.occupant(NICK));
        cx.io.send(presence.children(self.info.elements()).done());
    }

    /// The same, if it says something new.
    pub(super) fn publish_news(&mut self, cx: &mut Context<'_>) {
        if self.told.as_ref() != Some(&self.info) {
            self.publish(cx);
        }
    }

    /// Changes one conference property.
    pub(super) fn set_property(&mut self, cx: &mut Context<'_>, key: &str, value: Option<String>) {
        let old = match value.clone() {
            Some(value) => self.info.properties.insert(key.to_owned(), value),
            None => self.info.properties.remove(key),
        };
        if old != value && self.phase == Phase::Ready {
            self.publish(cx);
        }
    }

    pub(super) fn set_bridge_available(&mut self, cx: &mut Context<'_>, available: bool) {
        if self.info.bridge_not_available == available {
            self.info.bridge_not_available = !available;
            if self.phase == Phase::Ready {
                self.publish(cx);
            }
        }
    }
}
