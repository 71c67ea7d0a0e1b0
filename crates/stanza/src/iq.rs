//! IQ stanzas (RFC 6120 section 8.2.3): requests, results, and what may be answered.

use minidom::Element;

use crate::{element, ns};

/// The `type` of an IQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IqType {
    /// A question.
    Get,
    /// A change.
    Set,
    /// The answer to either.
    Result,
    /// The refusal of either.
    Error,
}

/// The type of an IQ stanza; `None` when `stanza` is no IQ or has no type of the four.
#[must_use]
pub fn iq_type(stanza: &Element) -> Option<IqType> {
    if !stanza.is("iq", ns::CLIENT) {
        return None;
    }
    match stanza.attr("type")? {
        "get" => Some(IqType::Get),
        "set" => Some(IqType::Set),
        "result" => Some(IqType::Result),
        "error" => Some(IqType::Error),
        _ => None,
    }
}

/// Whether `stanza` is an IQ of type `get` or `set`, which somebody must answer.
#[must_use]
pub fn is_request(stanza: &Element) -> bool {
    matches!(iq_type(stanza), Some(IqType::Get | IqType::Set))
}

/// Whether `stanza` is an IQ of type `result` or `error`.
#[must_use]
pub fn is_response(stanza: &Element) -> bool {
    matches!(iq_type(stanza), Some(IqType::Result | IqType::Error))
}

/// An IQ of type `get`.
#[must_use]
pub fn get(to: &str, id: &str, payload: impl Into<Element>) -> Element {
    request("get", to, id, payload.into())
}

/// An IQ of type `set`.
#[must_use]
pub fn set(to: &str, id: &str, payload: impl Into<Element>) -> Element {
    request("set", to, id, payload.into())
}

fn request(kind: &str, to: &str, id: &str, payload: Element) -> Element {
    element("iq", ns::CLIENT)
        .attr("type", kind)
        .attr("to", to)
        .attr("id", id)
        .child(payload)
        .done()
}

/// The result that answers `request`, with an optional payload.
#[must_use]
pub fn result_to(request: &Element, payload: Option<Element>) -> Element {
    let mut out = reply(request, "result");
    if let Some(payload) = payload {
        out.append_child(payload);
    }
    out
}

/// A stanza of the same name and id as `request`, its addresses exchanged, of type `kind`.
pub(crate) fn reply(request: &Element, kind: &str) -> Element {
    element(request.name(), ns::CLIENT)
        .attr("type", kind)
        .attr_opt("id", request.attr("id"))
        .attr_opt("to", request.attr("from"))
        .attr_opt("from", request.attr("to"))
        .done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ElementExt;

    #[test]
    fn results_exchange_addresses() {
        let mut request = get("b", "7", element("ping", ns::PING).done());
        request.put("from", "a");
        assert!(is_request(&request));
        let result = result_to(&request, Some(element("pong", "x").done()));
        assert_eq!(iq_type(&result), Some(IqType::Result));
        assert!(is_response(&result));
        assert_eq!(
            (result.attr("to"), result.attr("from"), result.attr("id")),
            (Some("a"), Some("b"), Some("7"))
        );
        assert!(result.has_child("pong", "x"));
    }

    #[test]
    fn only_iqs_in_the_client_namespace_count() {
        assert_eq!(
            iq_type(&element("iq", "other").attr("type", "get").done()),
            None
        );
        assert_eq!(
            iq_type(&element("message", ns::CLIENT).attr("type", "get").done()),
            None
        );
        assert_eq!(
            iq_type(&element("iq", ns::CLIENT).attr("type", "odd").done()),
            None
        );
    }
}
