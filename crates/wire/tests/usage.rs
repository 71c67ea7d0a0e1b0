//! The program says what it wants; that there is a test of it makes the tests' build leave it for the browsers' tests.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

#[test]
fn it_wants_two_names() {
    let said = Command::new(env!("CARGO_BIN_EXE_wire")).output().unwrap();
    assert!(!said.status.success());
    assert!(String::from_utf8_lossy(&said.stderr).contains("usage: wire NEAR FAR"));
}

#[test]
fn a_name_too_long_is_refused() {
    let names = ["a-name-that-is-too-long", "b"];
    let said = Command::new(env!("CARGO_BIN_EXE_wire"))
        .args(names)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&said.stderr).contains("too long"));
}
