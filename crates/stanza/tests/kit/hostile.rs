//! XML as nobody of good will writes it, still mostly well-formed.

use std::fmt::Write as _;

use proptest::prelude::*;

/// Namespaces: known ones, XML's own, long ones, and ones that need escapes.
fn namespace() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(vec![
            "jabber:client",
            "http://jabber.org/protocol/httpbind",
            "http://jabber.org/protocol/muc#user",
            "http://jabber.org/protocol/focus",
            "http://jitsi.org/jitmeet",
            "http://www.w3.org/XML/1998/namespace",
            "http://www.w3.org/2000/xmlns/",
            "a&lt;&amp;&quot;&#10;",
        ])
        .prop_map(str::to_owned),
        (1..600_usize).prop_map(|n| "n".repeat(n)),
        (1..60_usize).prop_map(|n| "&quot;".repeat(n)),
    ]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9@./-]{0,12}",
        proptest::sample::select(vec![
            "\"\"\"\"",
            "&#9;&#10;&#13;",
            "]]&gt;",
            "\u{10FFFF}",
            "get",
            "groupchat"
        ])
        .prop_map(str::to_owned),
        (1..2_000_usize).prop_map(|n| "\"".repeat(n)),
        (1..200_usize).prop_map(|n| "&amp;".repeat(n)),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => proptest::sample::select(vec!["a", "body", "x", "nick", "item", "subject", "json-message"])
            .prop_map(str::to_owned),
        1 => (1..600_usize).prop_map(|n| "n".repeat(n)),
        1 => proptest::sample::select(vec!["xml:a", "p:b", "xmlns:c"]).prop_map(str::to_owned),
    ]
}

/// Attributes of one element, names not repeated.
fn attributes() -> impl Strategy<Value = String> {
    let several = (
        proptest::collection::vec(("[a-z]{1,3}", value()), 0..4),
        proptest::option::of(namespace()),
        proptest::option::of((namespace(), 1..6_usize)),
        any::<bool>(),
    )
        .prop_map(|(plain, default, prefixed, lang)| {
            let mut out = String::new();
            let mut seen = std::collections::BTreeSet::new();
            for (name, value) in plain {
                if seen.insert(name.clone()) {
                    let _ = write!(out, " {name}='{value}'");
                }
            }
            if let Some(default) = default {
                let _ = write!(out, " xmlns='{default}'");
            }
            if let Some((namespace, count)) = prefixed {
                let _ = write!(out, " xmlns:p='{namespace}'");
                for n in 0..count {
                    let _ = write!(out, " p:q{n}=''");
                }
            }
            if lang {
                out.push_str(" xml:lang='en'");
            }
            out
        });
    let many = (1..160_usize).prop_map(|n| {
        (0..n).fold(String::new(), |mut out, n| {
            let _ = write!(out, " m{n}=''");
            out
        })
    });
    prop_oneof![8 => several, 1 => many]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(String::new()),
        2 => "[ -%'-;=?-~]{0,20}",
        1 => (1..3_000_usize).prop_map(|n| format!("<![CDATA[{}]]>", "&<".repeat(n))),
    ]
}

/// Content of a stanza: a tree of elements as text, repeated now and then.
pub fn content() -> impl Strategy<Value = String> {
    let leaf =
        (name(), attributes(), text(), 1..40_usize).prop_map(|(name, attributes, text, times)| {
            let one = format!("<{name}{attributes}>{text}</{name}>");
            let short = format!("<{name}{attributes}/>{}", "<y/>".repeat(times * times));
            if times < 20 { one } else { short }
        });
    leaf.prop_recursive(5, 24, 3, |inner| {
        (
            name(),
            attributes(),
            proptest::collection::vec(inner, 0..3),
            0..80_usize,
        )
            .prop_map(|(name, attributes, inner, depth)| {
                let deep = if depth < 60 { 0 } else { depth };
                format!(
                    "<{name}{attributes}>{}{}{}</{name}>",
                    "<z>".repeat(deep),
                    inner.concat(),
                    "</z>".repeat(deep)
                )
            })
    })
}

/// A stanza with the attributes that decide where it goes.
pub fn stanza(head: String) -> impl Strategy<Value = String> {
    (attributes(), proptest::collection::vec(content(), 0..4)).prop_map(
        move |(attributes, contents)| {
            let name = head.split(' ').next().unwrap_or_default();
            // What the head says already is not said twice.
            let attributes = if attributes.contains(" xmlns=") || attributes.contains(" m") {
                String::new()
            } else {
                attributes
            };
            format!("<{head}{attributes}>{}</{name}>", contents.concat())
        },
    )
}
