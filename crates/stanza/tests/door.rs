//! What the reader accepts at a participant's door, the writer writes so that everybody can read it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod kit;

use proptest::prelude::*;
use stanza::xml::{Limits, Reader, ReaderEvent, XmlError, parse, to_string};

const OPEN: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

fn through_a_stream(stanza: &str) -> Result<Option<ReaderEvent>, XmlError> {
    let mut reader = Reader::new(Limits::CLIENT);
    reader.push(OPEN.as_bytes());
    reader.next_event()?;
    reader.push(stanza.as_bytes());
    reader.next_event()
}

#[test]
fn elements_of_xml_itself_are_refused() {
    for stanza in [
        "<iq xmlns='jabber:client'><xml:a/></iq>",
        "<iq xmlns='jabber:client'><a xmlns='http://www.w3.org/2000/xmlns/'/></iq>",
        "<iq xmlns='jabber:client'><a xmlns:p='http://www.w3.org/2000/xmlns/' p:b=''/></iq>",
        "<iq xmlns='jabber:client' xmlns:p='http://www.w3.org/2000/xmlns/'><p:a/></iq>",
    ] {
        assert_eq!(
            parse(stanza, &Limits::CLIENT),
            Err(XmlError::Reserved),
            "{stanza}"
        );
        assert_eq!(
            through_a_stream(stanza),
            Err(XmlError::Reserved),
            "{stanza}"
        );
    }
    let lang = "<iq xmlns='jabber:client' xml:lang='en'><a xml:space='preserve'/></iq>";
    let stanza = parse(lang, &Limits::CLIENT).expect("attributes of XML are legal");
    kit::door::check_accepted(&stanza, lang.len());
    assert!(to_string(&stanza).contains("xml:space=\"preserve\""));
}

#[test]
fn what_is_accepted_at_the_limit_still_passes_with_what_the_server_adds() {
    let limit = Limits::CLIENT.attributes;
    let attributes = |n: usize| (0..n).map(|n| format!(" a{n}=''")).collect::<String>();
    let most = format!("<iq xmlns='jabber:client'{}/>", attributes(limit));
    kit::door::check_accepted(
        &parse(&most, &Limits::CLIENT).expect("at the limit"),
        most.len(),
    );
    let more = format!("<iq xmlns='jabber:client'{}/>", attributes(limit + 1));
    assert_eq!(parse(&more, &Limits::CLIENT), Err(XmlError::TooMany));

    let deep = |n: usize| format!("<iq>{}{}</iq>", "<a>".repeat(n - 1), "</a>".repeat(n - 1));
    let most = deep(Limits::CLIENT.depth);
    kit::door::check_accepted(
        &parse(&most, &Limits::CLIENT).expect("at the limit"),
        most.len(),
    );
    assert_eq!(
        parse(deep(Limits::CLIENT.depth + 1), &Limits::CLIENT),
        Err(XmlError::TooDeep)
    );
}

#[test]
fn a_long_namespace_is_not_repeated_for_each_child() {
    let message = |namespace: usize, children: usize| {
        format!(
            "<message xmlns='jabber:client' type='groupchat'><x xmlns='{}'>{}</x></message>",
            "n".repeat(namespace),
            "<feature/>".repeat(children)
        )
    };
    assert_eq!(
        parse(message(20_000, 700), &Limits::CLIENT),
        Err(XmlError::TooLarge)
    );
    assert_eq!(
        parse(message(250, 700), &Limits::CLIENT),
        Err(XmlError::TooLarge)
    );
    let usual = message(30, 4_000);
    kit::door::check_accepted(&parse(&usual, &Limits::CLIENT).expect("usual"), usual.len());
}

#[test]
fn each_door_is_wider_than_the_one_before() {
    let doors = [
        Limits::UNAUTHENTICATED,
        Limits::CLIENT,
        Limits::SERVICE,
        Limits::FROM_SERVER,
    ];
    for pair in doors.windows(2) {
        let [narrow, wide] = pair else { panic!("two") };
        assert!(narrow.name < wide.name && narrow.namespace < wide.namespace);
        assert!(narrow.depth + 8 <= wide.depth && narrow.attributes + 8 <= wide.attributes);
        assert!(narrow.elements + 64 <= wide.elements);
        assert!(
            narrow.written + 64 * 1024 < wide.bytes,
            "also what the server adds"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn accepted_stanzas_are_readable_and_no_larger_than_a_small_multiple(
        text in kit::hostile::stanza("message xmlns='jabber:client'".to_owned()),
    ) {
        let whole = parse(&text, &Limits::CLIENT);
        match through_a_stream(&text) {
            Ok(Some(ReaderEvent::Element(stanza))) => {
                prop_assert_eq!(whole.as_ref(), Ok(&stanza));
                kit::door::check_accepted(&stanza, text.len());
            }
            Ok(other) => prop_assert!(false, "{other:?} of {text}"),
            Err(error) => prop_assert_eq!(whole, Err(error)),
        }
    }
}
