//! The page of metrics in other forms than OpenMetrics, and which form an `Accept` header wants.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Forms of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format of Prometheus, 0.0.4.
    Plain,
    /// Names and values.
    Json,
}

/// The form that is wanted most; `None` if none of these is acceptable (RFC 9110 §12.5.1).
pub(crate) fn wanted(accept: Option<&str>) -> Option<Form> {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
        return Some(Form::OpenMetrics);
    };
    let mut best: Option<(f32, Form)> = None;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let form = match kind.as_str() {
            "application/openmetrics-text" | "application/*" | "*/*" => Form::OpenMetrics,
            "text/plain" | "text/*" => Form::Plain,
            "application/json" => Form::Json,
            _ => continue,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q="));
        let quality = quality.map_or(1.0, |q| q.trim().parse().unwrap_or(0.0));
        // Of equals the first.
        if quality > best.map_or(0.0, |(quality, _)| quality) {
            best = Some((quality, form));
        }
    }
    best.map(|(_, form)| form)
}

/// The text format, out of OpenMetrics: there the name of a counter has its ending in comments too, an info is a gauge, and
/// nothing says where the page ends.
pub(crate) fn plain(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut help: Option<(&str, &str)> = None;
    for line in page.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), words) => {
                help = Some((name, words.unwrap_or_default()));
            }
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (ending, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    kind => ("", kind),
                };
                if let Some((_, words)) = help.take().filter(|(of, _)| *of == name) {
                    let _ = writeln!(text, "# HELP {name}{ending} {words}");
                }
                let _ = writeln!(text, "# TYPE {name}{ending} {kind}");
            }
            (Some("#"), ..) => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

/// Names and values, as Jitsi's programs write them: without their prefixes and without the ending of counters. What has
/// labels is left out.
pub(crate) fn json(page: &str) -> String {
    let mut all = Map::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.split_once(' ').filter(|(name, _)| !name.contains('{'))
        else {
            continue;
        };
        let short = name.strip_prefix("jitsi_jvb_");
        let short = short.or_else(|| name.strip_prefix("jitsi_jicofo_"));
        let short = short.map(|name| name.strip_suffix("_total").unwrap_or(name));
        // Where one process is both, a name can be taken.
        let key = short.filter(|short| !all.contains_key(*short));
        all.insert(key.unwrap_or(name).to_owned(), number(value));
    }
    Value::Object(all).to_string()
}

fn number(text: &str) -> Value {
    match (text.parse::<u64>(), text.parse::<f64>()) {
        (Ok(whole), _) => whole.into(),
        (_, Ok(part)) => part.into(),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_the_one_wanted_most() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for (accept, form) in [
            (None, Some(Form::OpenMetrics)),
            (Some("*/*"), Some(Form::OpenMetrics)),
            (Some(prometheus), Some(Form::OpenMetrics)),
            (Some("text/plain"), Some(Form::Plain)),
            (
                Some("application/json;q=0.3, text/plain;q=0.4"),
                Some(Form::Plain),
            ),
            (Some("application/json"), Some(Form::Json)),
            (
                Some("text/html,application/xml;q=0.9,*/*;q=0.8"),
                Some(Form::OpenMetrics),
            ),
            (Some("image/png"), None),
            (Some("text/plain;q=0"), None),
        ] {
            assert_eq!(wanted(accept), form, "{accept:?}");
        }
    }

    const PAGE: &str = "# HELP pontoon_a Ays.\n# TYPE pontoon_a counter\npontoon_a_total 3\n\
        # HELP jitsi_jvb_stress Load.\n# TYPE jitsi_jvb_stress gauge\njitsi_jvb_stress 0.25\n\
        # HELP jitsi_jvb_region Where.\n# TYPE jitsi_jvb_region info\njitsi_jvb_region_info{region=\"eu\"} 1\n\
        # HELP jitsi_jvb_relays Relays.\n# TYPE jitsi_jvb_relays counter\njitsi_jvb_relays_total 7\n# EOF\n";

    #[test]
    fn counters_have_their_ending_everywhere_in_the_text_format() {
        let text = plain(PAGE);
        assert!(
            text.starts_with(
                "# HELP pontoon_a_total Ays.\n# TYPE pontoon_a_total counter\npontoon_a_total 3\n"
            ),
            "{text}"
        );
        assert!(text.contains(
            "# TYPE jitsi_jvb_region_info gauge\njitsi_jvb_region_info{region=\"eu\"} 1\n"
        ));
        assert!(!text.contains("EOF"));
    }

    #[test]
    fn json_has_the_names_of_the_others() {
        let page: Value = serde_json::from_str(&json(PAGE)).unwrap();
        let wanted = serde_json::json!({"pontoon_a_total": 3, "stress": 0.25, "relays": 7});
        assert_eq!(page, wanted);
    }
}
