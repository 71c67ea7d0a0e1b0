//! `pontoon status`, `drain`, `move`, `restart`: what operators ask of the pontoon that runs on this machine.

use std::fmt::Write as _;

use config::Settings;
use serde_json::{Value, json};

use crate::control;
use crate::failure::Failure;
use crate::say::say;

/// Prints what the running pontoon knows.
pub(crate) async fn status(settings: &Settings, as_json: bool) -> Result<(), Failure> {
    let text = control::ask(settings, "/status", None).await?;
    if as_json {
        return say(text.trim_end());
    }
    let status: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::start(format!("the answer cannot be read: {error}")))?;
    match status.get("bridges") {
        Some(_) => {
            let mut page = meet_table(&status);
            // An elder process does not tell.
            if let Ok(text) = control::ask(settings, "/certificate", None).await {
                let told: Value = serde_json::from_str(&text).unwrap_or_default();
                page.push_str(&certificate(&told));
            }
            say(page.trim_end())
        }
        None => say(bridge_table(&status).trim_end()),
    }
}

/// What is wrong with a process, if anything.
fn trouble(status: &Value) -> String {
    match status.get("trouble").and_then(Value::as_str) {
        Some(trouble) => format!("NOT WELL: {trouble}\n\n"),
        None => String::new(),
    }
}

/// What clients will find wrong with the certificate, and when it ends.
fn certificate(told: &Value) -> String {
    let mut text = String::new();
    for warning in list(told, "warnings") {
        let _ = writeln!(
            text,
            "Certificate: {}",
            warning.as_str().unwrap_or_default()
        );
    }
    if let Some(days) = told.get("days_left").and_then(Value::as_i64)
        && text.is_empty()
    {
        let _ = writeln!(text, "The certificate holds for {days} days.");
    }
    match text.is_empty() {
        true => text,
        false => format!("\n{text}"),
    }
}

/// Makes a bridge become empty: this one, or one of the meet node's by its name.
pub(crate) async fn drain(
    settings: &Settings,
    bridge: Option<&str>,
    drain: bool,
    end: bool,
) -> Result<(), Failure> {
    let wanted = match bridge {
        Some(bridge) => json!({"bridge": bridge, "drain": drain, "end": end}),
        None => json!({"drain": drain, "end": end}),
    };
    control::ask(settings, "/drain", Some(&wanted.to_string())).await?;
    say(match (drain, end) {
        (false, _) => "It takes meetings again.",
        (true, false) => {
            "Its meetings are moved to other bridges; it gets no new ones until \"pontoon drain --off\"."
        }
        (true, true) => "Its meetings are moved to other bridges; it ends when it is empty.",
    })
}

/// Has this process, or a bridge of the meet node, started again.
pub(crate) async fn restart(
    settings: &Settings,
    bridge: Option<&str>,
    when_empty: bool,
) -> Result<(), Failure> {
    match bridge {
        Some(bridge) => {
            let wanted = json!({"bridge": bridge, "drain": true, "restart": true});
            control::ask(settings, "/drain", Some(&wanted.to_string())).await?;
            say("Its meetings are moved to other bridges; it is started again when it is empty.")
        }
        None => {
            let wanted = json!({"when_empty": when_empty});
            control::ask(settings, "/restart", Some(&wanted.to_string())).await?;
            say(match when_empty {
                true => "It is started again when no meeting is under way.",
                false => "It is started again.",
            })
        }
    }
}

/// Moves a meeting to another bridge.
pub(crate) async fn move_meeting(
    settings: &Settings,
    room: &str,
    to: Option<&str>,
) -> Result<(), Failure> {
    let room = match room.contains('@') {
        true => room.to_owned(),
        false => format!("{room}@conference.{}", settings.domain),
    };
    let wanted = json!({"room": room, "to": to});
    control::ask(settings, "/move", Some(&wanted.to_string())).await?;
    say("It moves.")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or("-")
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn list(value: &Value, name: &str) -> Vec<Value> {
    let list = value.get(name).and_then(Value::as_array);
    list.cloned().unwrap_or_default()
}

fn load(value: &Value, name: &str) -> String {
    let load = value.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    format!("{load:.3}")
}

fn yes(value: &Value, name: &str) -> &'static str {
    match value.get(name) {
        Some(Value::Bool(true)) => "yes",
        Some(Value::Bool(false)) => "no",
        _ => "-",
    }
}

fn addresses(value: &Value) -> String {
    let all = list(value, "addresses");
    let first = all
        .first()
        .and_then(Value::as_str)
        .unwrap_or("-")
        .to_owned();
    match all.len() {
        0 | 1 => first,
        more => format!("{first} +{}", more - 1),
    }
}

/// Columns as wide as what is in them.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn heads(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A bridge's line of a table; `measure` names what stands for its load.
fn bridge_row(bridge: &Value, measure: &str) -> Vec<String> {
    vec![
        text(bridge, "name").to_owned(),
        addresses(bridge),
        text(bridge, "version").to_owned(),
        text(bridge, "region").to_owned(),
        text(bridge, "state").to_owned(),
        load(bridge, measure),
        yes(bridge, "drain").to_owned(),
        yes(bridge, "healthy").to_owned(),
        number(bridge, "meetings").to_string(),
        number(bridge, "people").to_string(),
    ]
}

fn meet_table(status: &Value) -> String {
    let mut rows = vec![heads(&[
        "BRIDGE", "ADDRESS", "VERSION", "REGION", "STATE", "LOAD", "DRAIN", "HEALTHY", "MEETINGS",
        "PEOPLE",
    ])];
    let bridges = list(status, "bridges");
    rows.extend(bridges.iter().map(|bridge| bridge_row(bridge, "load")));
    let mut page = trouble(status);
    match bridges.is_empty() {
        true => page.push_str("No bridge is there.\n"),
        false => page.push_str(&table(&rows)),
    }
    page.push('\n');
    let mut rows = vec![heads(&["MEETING", "PEOPLE", "BRIDGE", "ON IT", "WHY"])];
    for meeting in list(status, "meetings") {
        let places = list(&meeting, "bridges");
        let room = text(&meeting, "room").to_owned();
        let people = number(&meeting, "people").to_string();
        if places.is_empty() {
            let waits = meeting.get("waits") == Some(&Value::Bool(true));
            let why = if waits {
                "waits for a bridge"
            } else {
                "needs none yet"
            };
            rows.push(vec![
                room,
                people,
                "-".to_owned(),
                "0".to_owned(),
                why.to_owned(),
            ]);
            continue;
        }
        rows.extend(places.iter().map(|place| {
            let why = text(place, "why");
            let behind = place.get("behind").and_then(Value::as_str);
            vec![
                room.clone(),
                people.clone(),
                text(place, "bridge").to_owned(),
                number(place, "people").to_string(),
                behind.map_or_else(
                    || why.to_owned(),
                    |core| format!("{why}, one relay, to {core}"),
                ),
            ]
        }));
    }
    match rows.len() {
        1 => page.push_str("No meeting is under way.\n"),
        _ => page.push_str(&table(&rows)),
    }
    page
}

fn bridge_table(bridge: &Value) -> String {
    let mut page = trouble(bridge);
    page.push_str(&table(&[
        heads(&[
            "BRIDGE", "ADDRESS", "VERSION", "REGION", "STATE", "STRESS", "DRAIN", "HEALTHY",
            "MEETINGS", "PEOPLE",
        ]),
        bridge_row(bridge, "stress"),
    ]));
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meet_nodes_tables_say_where_everything_is_and_why() {
        let status = json!({
            "bridges": [{
                "name": "b1", "addresses": ["10.0.0.1:10000", "[fd00::1]:10000"], "version": "pontoon-0.1.0",
                "region": null, "state": "ready", "load": 0.0312, "drain": false, "healthy": true,
                "meetings": 1, "people": 2,
            }],
            "meetings": [
                {"room": "red@x", "people": 2, "waits": false,
                 "bridges": [{"bridge": "b1", "people": 2, "why": "least loaded (0.010)", "behind": null}]},
                {"room": "blue@x", "people": 3, "waits": true, "bridges": []},
                {"room": "green@x", "people": 9, "waits": false,
                 "bridges": [{"bridge": "b6", "people": 4, "why": "least loaded (0.020)", "behind": "b1"}]},
            ],
        });
        let page = meet_table(&status);
        let lines: Vec<&str> = page.lines().collect();
        assert_eq!(
            lines[1],
            "b1      10.0.0.1:10000 +1  pontoon-0.1.0  -       ready  0.031  no     yes      1         2"
        );
        assert_eq!(
            lines[4],
            "red@x    2       b1      2      least loaded (0.010)"
        );
        assert_eq!(
            lines[5],
            "blue@x   3       -       0      waits for a bridge"
        );
        assert_eq!(
            lines[6],
            "green@x  9       b6      4      least loaded (0.020), one relay, to b1"
        );
        let nothing = meet_table(&json!({"bridges": [], "meetings": []}));
        assert_eq!(nothing, "No bridge is there.\n\nNo meeting is under way.\n");
    }

    #[test]
    fn what_is_wrong_stands_first_and_what_will_be_wrong_last() {
        let ill = json!({"bridges": [], "meetings": [], "trouble": "no bridge is there"});
        assert!(meet_table(&ill).starts_with("NOT WELL: no bridge is there\n\n"));
        let bridge = json!({"name": "b1", "trouble": "a media thread is stuck"});
        assert!(bridge_table(&bridge).starts_with("NOT WELL: a media thread is stuck\n\nBRIDGE"));
        let ends = json!({"days_left": 9, "warnings": ["its certificate expires on Sunday"]});
        assert_eq!(
            certificate(&ends),
            "\nCertificate: its certificate expires on Sunday\n"
        );
        let holds = json!({"days_left": 80, "warnings": []});
        assert_eq!(
            certificate(&holds),
            "\nThe certificate holds for 80 days.\n"
        );
        assert_eq!(certificate(&json!({})), "");
    }
}
