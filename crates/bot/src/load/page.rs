//! The report as a page: figures and charts, drawn here, so that it needs nothing from elsewhere.

use std::fmt::Write as _;

use super::report::{Bar, Report, Sample};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;
/// Room for the numbers at the left, and below.
const LEFT: f64 = 60.0;
const BELOW: f64 = 22.0;
const COLOURS: [&str; 3] = ["#0b6bcb", "#c2410c", "#15803d"];

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:46rem;padding:0 1rem;color:#1c1c1c;background:#fff}\
h1{font-size:1.4rem}h2{font-size:1rem;margin:1.6rem 0 .2rem}table{border-collapse:collapse}td{padding:.1rem 1rem .1rem 0;vertical-align:top}\
td:first-child{color:#555}svg{width:100%;height:auto}text{font-size:11px;fill:#555}\
@media(prefers-color-scheme:dark){body{color:#e8e8e8;background:#161616}td:first-child{color:#aaa}text{fill:#aaa}}";

/// A line of a chart: its name, and what of a sample it shows.
type Line = (&'static str, fn(&Sample) -> f64);

/// Charts over time: title, and lines.
const CHARTS: [(&str, &[Line]); 6] = [
    (
        "People",
        &[
            ("planned", |s| s.planned as f64),
            ("there", |s| s.people as f64),
            ("connected", |s| s.connected as f64),
        ],
    ),
    (
        "Packets a second",
        &[("received", |s| s.received_rate), ("sent", |s| s.sent_rate)],
    ),
    (
        "Media received, Mbit/s",
        &[("received", |s| s.received_bits / 1e6)],
    ),
    ("Packets lost, %", &[("lost", |s| s.loss * 100.0)]),
    (
        "Camera to receiver, ms",
        &[
            ("p50", |s| s.frame_delay.p50),
            ("p99", |s| s.frame_delay.p99),
        ],
    ),
    (
        "Microphone to receiver, ms",
        &[
            ("p50", |s| s.voice_delay.p50),
            ("p99", |s| s.voice_delay.p99),
        ],
    ),
];

/// The report as a page with charts.
#[must_use]
pub fn html(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Load</title><style>{STYLE}</style><h1>Load</h1><table>"
    );
    for (name, value) in report.facts() {
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td></tr>",
            escaped(name),
            escaped(&value)
        );
    }
    page.push_str("</table>");
    for (title, lines) in CHARTS {
        chart(&mut page, title, lines, &report.samples);
    }
    if !report.frame_delays.is_empty() {
        histogram(&mut page, &report.frame_delays);
    }
    page.push_str("</html>\n");
    page
}

fn chart(page: &mut String, title: &str, lines: &[Line], samples: &[Sample]) {
    let end = samples.last().map_or(1.0, |s| s.at).max(1.0);
    let values = lines
        .iter()
        .flat_map(|(_, value)| samples.iter().map(value));
    let top = nice(values.fold(0.0, f64::max));
    begin(page, title, top, &format!("{end:.0} s"));
    for (n, (name, value)) in lines.iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        let points: Vec<String> = samples
            .iter()
            .map(|s| {
                let x = LEFT + s.at / end * (WIDTH - LEFT);
                let y = HEIGHT - value(s) / top * HEIGHT;
                format!("{x:.1},{y:.1}")
            })
            .collect();
        let _ = write!(
            page,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>",
            points.join(" ")
        );
        let x = LEFT + 8.0 + 90.0 * n as f64;
        let _ = write!(
            page,
            "<text x=\"{x}\" y=\"14\" style=\"fill:{colour}\">{name}</text>"
        );
    }
    page.push_str("</svg>");
}

fn histogram(page: &mut String, bars: &[Bar]) {
    let top = nice(bars.iter().map(|b| b.count as f64).fold(0.0, f64::max));
    let last = bars.last().map_or(0.0, |b| b.to);
    let title = "Frames by their delay from camera to receiver";
    begin(page, title, top, &format!("{last:.1} ms"));
    let each = (WIDTH - LEFT) / bars.len() as f64;
    for (n, bar) in bars.iter().enumerate() {
        let (x, height) = (LEFT + each * n as f64, bar.count as f64 / top * HEIGHT);
        let _ = write!(
            page,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"{}\"><title>up to {:.1} ms: {}</title></rect>",
            HEIGHT - height,
            (each - 1.0).max(0.5),
            COLOURS[0],
            bar.to,
            bar.count
        );
    }
    page.push_str("</svg>");
}

/// Title, frame and numbers of a chart.
fn begin(page: &mut String, title: &str, top: f64, end: &str) {
    let height = HEIGHT + BELOW;
    let _ = write!(
        page,
        "<h2>{title}</h2><svg viewBox=\"0 -6 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">"
    );
    for part in [0.0, 0.5, 1.0] {
        let y = HEIGHT * (1.0 - part);
        let _ = write!(
            page,
            "<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#8884\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            number(top * part)
        );
    }
    let _ = write!(
        page,
        "<text x=\"{WIDTH}\" y=\"{}\" text-anchor=\"end\">{end}</text>",
        HEIGHT + 14.0
    );
}

fn number(value: f64) -> String {
    if value >= 100.0 || value == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

/// The next of 1, 2, 5, 10, 20, ...
fn nice(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= value)
        .unwrap_or(value)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::plan;
    use super::super::report::tests::seen;
    use super::*;

    #[test]
    fn the_page_needs_nothing_from_elsewhere_and_shows_no_foreign_markup() {
        let mut report = Report::new(&plan());
        for n in 0..5_u32 {
            let sample = Sample {
                at: f64::from(n),
                ..Sample::default()
            };
            report.add(sample, &seen(n.into(), 0), true);
        }
        report.troubles.push("<script>alert(1)</script>".into());
        report.end(5.0, &seen(0, 0), &seen(9, 0));
        let page = html(&report);
        assert!(page.starts_with("<!doctype html>") && page.contains("<svg"));
        for word in [
            "http://", "https://", "src=", "href=", "<script", "@import", "url(",
        ] {
            assert!(!page.contains(word), "{word}");
        }
    }
}
