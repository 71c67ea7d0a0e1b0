//! Small crates, with and without circles.

use std::path::Path;

use super::modules::Crate;
use super::rules;

/// What is found in a crate of these files (name, text), the first of which is its root.
fn findings(files: &[(&str, &str)]) -> Vec<String> {
    let load = |path: &Path| {
        let mut files = files.iter();
        let found = files.find(|(name, _)| path == Path::new("src").join(name));
        found.map(|(_, text)| (*text).to_owned())
    };
    let root = Path::new("src").join(files[0].0);
    rules(
        Path::new("src"),
        "small",
        &Crate::read(&root, &load).unwrap(),
    )
}

fn assert_circle(files: &[(&str, &str)], members: &str) {
    let found = findings(files);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains(&format!("in a circle: {members}")),
        "{found:?}"
    );
}

fn assert_fine(files: &[(&str, &str)]) {
    assert_eq!(findings(files), Vec::<String>::new());
}

#[test]
fn two_files_that_use_each_other() {
    let lib = ("lib.rs", "mod a;\nmod b;\n");
    let b = ("b.rs", "use crate::a::A;\npub struct B(Option<Box<A>>);\n");
    for a in [
        "use crate::b::B;\npub struct A(B);\n",
        "pub struct A(super::b::B);\n",
        "pub struct A(crate::b::B);\n",
        "pub struct A;\nfn f() { use super::b::{self as other}; other::B; }\n",
        "pub struct A;\nfn f() { println!(\"{}\", crate::b::B::NAME) }\n",
        "pub struct A;\nmod inner { pub fn f() { super::super::b::B; } }\n",
        "pub struct A;\nimpl From<super::b::B> for A {}\n",
    ] {
        assert_circle(&[lib, ("a.rs", a), b], "a, b");
    }
    assert_fine(&[lib, ("a.rs", "pub struct A;\n"), b]);
}

#[test]
fn the_way_around_is_told_with_its_reasons() {
    let found = findings(&[
        ("lib.rs", "mod a;\nmod b;\nmod c;\n"),
        ("a.rs", "use crate::b::B;\npub struct A;\n"),
        ("b.rs", "use crate::c::C;\npub struct B;\n"),
        ("c.rs", "pub struct C;\n\nfn f(_: crate::a::A) {}\n"),
    ]);
    assert_eq!(
        found,
        ["small: 3 modules use each other in a circle: a, b, c\
             \n    a.rs:1 uses B of b.rs\n    b.rs:1 uses C of c.rs\n    c.rs:3 uses A of a.rs"]
    );
}

#[test]
fn handing_on_a_name_is_no_use_of_it() {
    let files = [
        ("lib.rs", "mod a;\nmod b;\npub use a::A;\npub use b::*;\n"),
        ("a.rs", "use crate::B;\npub struct A(B);\n"),
        ("b.rs", "pub struct B;\n"),
    ];
    assert_fine(&files);
    // What is handed on counts where it is defined.
    let circle = ("b.rs", "pub struct B;\nfn f(_: crate::A) {}\n");
    assert_circle(&[files[0], files[1], circle], "a, b");
}

#[test]
fn a_parent_and_its_child_count_like_others() {
    let lib = ("lib.rs", "mod room;\n");
    let parent = "mod door;\npub struct Size;\npub fn open() { door::open(); }\n";
    let child = (
        "room/door.rs",
        "use super::Size;\npub fn open() { Size; }\n",
    );
    assert_circle(&[lib, ("room.rs", parent), child], "door, itself");
    assert_circle(&[lib, ("room/mod.rs", parent), child], "door, itself");
    let parent = "mod door;\npub use door::open;\npub struct Size;\n";
    assert_fine(&[lib, ("room.rs", parent), child]);
    // The root of the crate is a parent too.
    let root = ("lib.rs", "mod a;\npub struct Name;\nfn f() { a::f(); }\n");
    assert_circle(
        &[root, ("a.rs", "pub fn f() { crate::Name; }\n")],
        "a, itself",
    );
}

#[test]
fn folders_use_each_other_in_one_direction() {
    let files = [
        ("lib.rs", "mod feed;\nmod out;\n"),
        ("feed/mod.rs", "pub mod one;\npub mod two;\n"),
        ("feed/one.rs", "pub struct One;\n"),
        ("feed/two.rs", "use crate::out::Out;\n"),
        ("out.rs", "use crate::feed::one::One;\npub struct Out;\n"),
    ];
    // No two files use each other, but the folder and the file beside it do.
    assert_circle(&files, "feed, out");
}

#[test]
fn methods_stand_below_the_file_of_their_type() {
    let lib = ("lib.rs", "mod room;\nmod other;\n");
    let room = "mod join;\nmod leave;\npub struct Room { n: u8 }\nimpl Room { fn count(&self) -> u8 { self.n } }\n";
    let leave = (
        "room/leave.rs",
        "use super::Room;\nimpl Room { pub fn leave(&self) { self.count(); } }\n",
    );
    let nothing = ("other.rs", "");
    let join = |body: &'static str| ("room/join.rs", body);
    let fine = join("use super::Room;\nimpl Room { pub fn join(&self) { self.leave(); } }\n");
    assert_fine(&[lib, ("room.rs", room), fine, leave, nothing]);
    // Parts of one type use each other in one direction too, through `self` and `Self`, in macros as well.
    for call in ["self.join()", "Self::join(self)", "assert!(self.join())"] {
        let leave =
            format!("use super::Room;\nimpl Room {{ pub fn leave(&self) {{ {call}; }} }}\n");
        let files = [
            lib,
            ("room.rs", room),
            fine,
            ("room/leave.rs", leave.as_str()),
            nothing,
        ];
        assert_circle(&files, "join, leave");
    }
    // And the file above does not call what uses it.
    let calls = "mod join;\nmod leave;\npub struct Room;\nimpl Room { fn count(&self) { self.leave(); } }\n";
    assert_circle(
        &[lib, ("room.rs", calls), join(""), leave, nothing],
        "itself, leave",
    );
    // Elsewhere no methods may stand, or the type's fields would be everybody's.
    let other = ("other.rs", "impl crate::room::Room { fn f(&self) {} }\n");
    let found = findings(&[lib, ("room.rs", room), fine, leave, other]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("other.rs:1: methods of Room"),
        "{found:?}"
    );
    let other = ("other.rs", "impl Clone for crate::room::Room {}\n");
    assert_fine(&[lib, ("room.rs", room), fine, leave, other]);
}

#[test]
fn tests_may_use_everything() {
    assert_fine(&[
        ("lib.rs", "mod a;\nmod b;\n"),
        (
            "a.rs",
            "pub struct A;\n#[cfg(test)]\nmod tests { use crate::b::B; }\n#[cfg(test)]\nuse crate::b::B;\n",
        ),
        ("b.rs", "pub struct B(crate::a::A);\n"),
    ]);
}

#[test]
fn a_file_that_is_missing_or_is_no_rust_is_told() {
    let read = |text: &'static str| {
        let load = |path: &Path| path.ends_with("lib.rs").then(|| text.to_owned());
        Crate::read(Path::new("src/lib.rs"), &load).err()
    };
    assert!(read("mod gone;\n").is_some_and(|problem| problem.contains("mod gone")));
    assert!(read("fn {\n").is_some());
    assert_eq!(read("fn f() {}\n"), None);
}
