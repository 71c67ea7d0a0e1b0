//! Errors a bridge answers, and how the focus tells them from errors on the way.

use minidom::Element;

use super::NS_COLIBRI2;
use crate::media::{set, string};

const NS_CLIENT: &str = "jabber:client";
const NS_STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

/// Why a bridge refused a request on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No such conference, and no wish to create it.
    ConferenceNotFound,
    /// A conference to create exists.
    ConferenceAlreadyExists,
    /// The bridge takes no new conferences.
    GracefulShutdown,
    /// An endpoint to change does not exist.
    UnknownEndpoint,
    /// The bridge does not do this.
    FeatureNotImplemented,
    /// Something else.
    Unspecified,
}

impl Reason {
    const ALL: [(Self, &'static str); 6] = [
        (Self::ConferenceNotFound, "conference_not_found"),
        (Self::ConferenceAlreadyExists, "conference_already_exists"),
        (Self::GracefulShutdown, "graceful_shutdown"),
        (Self::UnknownEndpoint, "unknown_endpoint"),
        (Self::FeatureNotImplemented, "feature_not_implemented"),
        (Self::Unspecified, "unspecified"),
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(r, _)| *r == self)
            .map_or("unspecified", |(_, n)| n)
    }

    /// Reads the name on the wire, in any case; unknown names are [`Reason::Unspecified`].
    pub fn from_name(name: &str) -> Self {
        Self::ALL
            .iter()
            .find(|(_, n)| n.eq_ignore_ascii_case(name))
            .map_or(Self::Unspecified, |(r, _)| *r)
    }
}

/// An `error` answer to a colibri2 request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorAnswer {
    /// Stanza error condition (`item-not-found`, ...).
    pub condition: String,
    /// For people.
    pub text: Option<String>,
    /// Present when the bridge itself refused on purpose; absent when the server, the room or an exception did.
    pub reason: Option<Reason>,
    /// The endpoint [`Reason::UnknownEndpoint`] is about.
    pub endpoint: Option<String>,
}

impl ErrorAnswer {
    /// An error without a colibri2 marker.
    pub fn plain(condition: &str, text: impl Into<String>) -> Self {
        Self {
            condition: condition.to_owned(),
            text: Some(text.into()),
            reason: None,
            endpoint: None,
        }
    }

    /// An error with the colibri2 marker.
    pub fn marked(condition: &str, reason: Reason, text: impl Into<String>) -> Self {
        Self {
            reason: Some(reason),
            ..Self::plain(condition, text)
        }
    }

    /// Reads the error of an IQ of type `error`; `None` for any other stanza.
    pub fn of_iq(iq: &Element) -> Option<Self> {
        if iq.name() != "iq" || iq.attr("type") != Some("error") {
            return None;
        }
        let Some(error) = iq
            .children()
            .find(|c| c.name() == "error" && c.ns() != NS_COLIBRI2)
        else {
            return Some(Self {
                condition: "undefined-condition".to_owned(),
                text: None,
                reason: None,
                endpoint: None,
            });
        };
        Some(Self {
            condition: error
                .children()
                .find(|c| c.has_ns(NS_STANZAS) && c.name() != "text")
                .map_or_else(|| "undefined-condition".to_owned(), |c| c.name().to_owned()),
            text: error.get_child("text", NS_STANZAS).map(Element::text),
            reason: error
                .get_child("error", NS_COLIBRI2)
                .map(|e| Reason::from_name(e.attr("reason").unwrap_or_default())),
            endpoint: error
                .get_child("endpoint", NS_COLIBRI2)
                .and_then(|e| string(e, "id")),
        })
    }

    /// The condition of a presence of type `error`.
    pub fn of_presence(presence: &Element) -> Option<String> {
        let error = presence.children().find(|c| c.name() == "error")?;
        error
            .children()
            .find(|c| c.has_ns(NS_STANZAS) && c.name() != "text")
            .map(|c| c.name().to_owned())
    }

    fn error_type(&self) -> &'static str {
        match self.condition.as_str() {
            "bad-request" => "modify",
            "forbidden" => "auth",
            "internal-server-error" => "wait",
            _ => "cancel",
        }
    }

    /// The `error` element.
    pub fn to_element(&self) -> Element {
        let mut error = Element::bare("error", NS_CLIENT);
        set(&mut error, "type", Some(self.error_type()));
        error.append_child(Element::bare(self.condition.as_str(), NS_STANZAS));
        if let Some(text) = &self.text {
            let mut child = Element::bare("text", NS_STANZAS);
            child.append_text(text.clone());
            error.append_child(child);
        }
        if let Some(reason) = self.reason {
            let mut marker = Element::bare("error", NS_COLIBRI2);
            set(&mut marker, "reason", Some(reason.name()));
            error.append_child(marker);
        }
        if let Some(id) = &self.endpoint {
            let mut endpoint = Element::bare("endpoint", NS_COLIBRI2);
            set(&mut endpoint, "id", Some(id));
            error.append_child(endpoint);
        }
        error
    }

    /// The whole answer to a request.
    pub fn reply_to(&self, iq: &Element) -> Element {
        let mut reply = Element::bare("iq", NS_CLIENT);
        set(&mut reply, "type", Some("error"));
        set(&mut reply, "id", iq.attr("id"));
        set(&mut reply, "to", iq.attr("from"));
        reply.append_child(self.to_element());
        reply
    }
}
