//! When more bridges should be there, or fewer would do, and what became of those that are: what is told to whoever adds and
//! removes them.

use std::collections::BTreeMap;

use focus::{BridgeStatus, Figures};
use serde_json::{Value, json};

/// Mean load from which more bridges should be there, and below which fewer would do; 1 is all that they can carry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) high: f64,
    pub(crate) low: f64,
}

/// Something that whoever adds and removes bridges should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct News {
    /// What it is, a word for programs.
    pub(crate) what: &'static str,
    /// The bridge it is about, if it is about one.
    pub(crate) bridge: Option<String>,
}

/// Where the mean load is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Level {
    #[default]
    Between,
    High,
    Low,
}

/// Looks after which a load that is still high, or low, is told again: what was done about it was not enough.
const AGAIN: u32 = 300;

/// Looks for which a bridge may be out of sight before it counts as gone: its stream may have broken, or that of the focus.
const AWAY: u32 = 10;

/// What was so at the last look.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Whether each bridge was drained.
    bridges: BTreeMap<String, bool>,
    /// Looks for which a bridge has been out of sight.
    away: BTreeMap<String, u32>,
    level: Level,
    /// Looks since the level was told.
    since: u32,
}

impl Watch {
    /// What is new since the last look.
    pub(crate) fn look(&mut self, figures: &Figures, limits: Limits) -> Vec<News> {
        let mut news = Vec::new();
        let mut tell = |what, bridge: &str| {
            news.push(News {
                what,
                bridge: Some(bridge.to_owned()),
            });
        };
        let mut away = BTreeMap::new();
        let mut now = BTreeMap::new();
        for bridge in &figures.bridges {
            let name = &bridge.name;
            let before = self.bridges.get(name).copied();
            let drained = match bridge.state {
                "away" => {
                    let looks = self.away.get(name).map_or(1, |looks| looks + 1);
                    away.insert(name.clone(), looks);
                    before.filter(|_| looks < AWAY)
                }
                _ => Some(drained(bridge)),
            };
            now.extend(drained.map(|drained| (name.clone(), drained)));
        }
        self.away = away;
        for (bridge, drained) in &now {
            match self.bridges.get(bridge) {
                None => tell("bridge-came", bridge),
                Some(before) if before == drained => continue,
                Some(_) => {}
            }
            if *drained {
                tell("bridge-drains", bridge);
            } else if self.bridges.contains_key(bridge) {
                tell("bridge-drains-no-more", bridge);
            }
        }
        for bridge in self.bridges.keys().filter(|name| !now.contains_key(*name)) {
            tell("bridge-went", bridge);
        }
        self.bridges = now;
        let level = self.level(figures, limits);
        self.since += 1;
        let lasts = level != Level::Between && self.since >= AGAIN;
        if level != self.level || lasts {
            (self.level, self.since) = (level, 0);
            let what = match level {
                Level::High => "load-high",
                Level::Low => "load-low",
                Level::Between => "load-normal",
            };
            news.push(News { what, bridge: None });
        }
        news
    }

    /// Without a bridge that takes meetings, people wait: that is more than all can carry.
    fn level(&self, figures: &Figures, limits: Limits) -> Level {
        let takes = figures.bridges.iter().any(|b| b.usable && !drained(b));
        let load = figures.mean_load();
        match takes {
            false if figures.waiting > 0 => Level::High,
            false => Level::Between,
            true if load >= limits.high => Level::High,
            true if load < limits.low => Level::Low,
            true => Level::Between,
        }
    }
}

fn drained(bridge: &BridgeStatus) -> bool {
    bridge.drain || bridge.ending
}

/// What is posted of it. `at`: milliseconds since 1970.
pub(crate) fn message(news: &News, figures: &Figures, domain: &str, at: u64) -> Value {
    let bridges: Vec<Value> = figures.bridges.iter().map(bridge).collect();
    let draining = figures.bridges.iter().filter(|b| drained(b)).count();
    json!({
        "event": news.what,
        "bridge": news.bridge,
        "domain": domain,
        "at": at,
        "mean_load": figures.mean_load(),
        "room_for_people": figures.room_for(),
        "meetings": figures.sizes.len(),
        "people": figures.sizes.iter().sum::<usize>(),
        "meetings_waiting": figures.waiting,
        "bridges_usable": figures.bridges.iter().filter(|b| b.usable).count(),
        "bridges_draining": draining,
        // The one with the fewest people is emptied soonest.
        "least_loaded": least_loaded(figures),
        "bridges": bridges,
    })
}

fn bridge(bridge: &BridgeStatus) -> Value {
    json!({
        "name": bridge.name,
        "region": bridge.region,
        "state": bridge.state,
        "usable": bridge.usable,
        "drain": drained(bridge),
        "load": bridge.load,
        "stress": bridge.stress,
        "meetings": bridge.meetings,
        "people": bridge.people,
        "room_for_people": bridge.room_for,
    })
}

/// The bridge to drain first, if fewer would do.
fn least_loaded(figures: &Figures) -> Option<&str> {
    let takes = figures.bridges.iter().filter(|b| b.usable && !drained(b));
    let least = takes.min_by(|a, b| a.people.cmp(&b.people).then(a.load.total_cmp(&b.load)));
    least.map(|bridge| bridge.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        high: 0.6,
        low: 0.2,
    };

    fn at(load: f64, name: &str) -> BridgeStatus {
        BridgeStatus {
            name: name.to_owned(),
            state: "ready",
            usable: true,
            load,
            people: (load * 100.0) as usize,
            ..BridgeStatus::default()
        }
    }

    fn look(watch: &mut Watch, bridges: &[BridgeStatus]) -> Vec<String> {
        let figures = Figures {
            bridges: bridges.to_vec(),
            ..Figures::default()
        };
        let word = |news: News| match news.bridge {
            Some(bridge) => format!("{} {bridge}", news.what),
            None => news.what.to_owned(),
        };
        let news = watch.look(&figures, LIMITS);
        news.into_iter().map(word).collect()
    }

    #[test]
    fn each_change_is_told_once() {
        let mut watch = Watch::default();
        let mut b1 = at(0.3, "b1");
        assert_eq!(look(&mut watch, &[b1.clone()]), ["bridge-came b1"]);
        assert!(look(&mut watch, &[b1.clone()]).is_empty());
        b1.load = 0.7;
        assert_eq!(look(&mut watch, &[b1.clone()]), ["load-high"]);
        assert!(look(&mut watch, &[b1.clone()]).is_empty());
        // Another one shares it.
        let idle = at(0.0, "b2");
        let both = [b1.clone(), idle.clone()];
        assert_eq!(look(&mut watch, &both), ["bridge-came b2", "load-normal"]);
        b1.load = 0.1;
        b1.drain = true;
        assert_eq!(
            look(&mut watch, &[b1.clone(), idle.clone()]),
            ["bridge-drains b1", "load-low"]
        );
        b1.drain = false;
        assert_eq!(
            look(&mut watch, &[b1.clone(), idle.clone()]),
            ["bridge-drains-no-more b1"]
        );
        // It is out of sight for a while, and then for good.
        b1.state = "away";
        let both = [b1.clone(), idle.clone()];
        (1..AWAY).for_each(|_| assert!(look(&mut watch, &both).is_empty()));
        assert_eq!(look(&mut watch, &both), ["bridge-went b1"]);
        assert!(look(&mut watch, &both).is_empty());
        assert!(look(&mut watch, &[idle]).is_empty());
        b1.state = "ready";
        // One that comes drained is told with that.
        b1.drain = true;
        let news = look(&mut watch, &[b1]);
        assert_eq!(
            news,
            [
                "bridge-came b1",
                "bridge-drains b1",
                "bridge-went b2",
                "load-normal"
            ]
        );
    }

    #[test]
    fn load_that_stays_low_is_told_again() {
        let mut watch = Watch::default();
        let idle = [at(0.1, "b1"), at(0.1, "b2")];
        assert!(look(&mut watch, &idle).contains(&"load-low".to_owned()));
        let told: usize = (0..2 * AGAIN).map(|_| look(&mut watch, &idle).len()).sum();
        assert_eq!(told, 2);
        let busy = [at(0.4, "b1"), at(0.4, "b2")];
        assert_eq!(look(&mut watch, &busy), ["load-normal"]);
        let told: usize = (0..2 * AGAIN).map(|_| look(&mut watch, &busy).len()).sum();
        assert_eq!(told, 0);
    }

    #[test]
    fn people_who_wait_are_load() {
        let mut watch = Watch::default();
        let figures = Figures {
            waiting: 1,
            ..Figures::default()
        };
        let news = watch.look(&figures, LIMITS);
        assert_eq!(news.len(), 1);
        assert_eq!(news[0].what, "load-high");
    }

    #[test]
    fn what_is_posted_names_the_bridge_to_drain() {
        let news = News {
            what: "load-low",
            bridge: None,
        };
        let mut drained = at(0.0, "b0");
        drained.drain = true;
        let figures = Figures {
            bridges: vec![drained, at(0.15, "b1"), at(0.05, "b2")],
            sizes: vec![3, 17],
            waiting: 0,
        };
        let message = message(&news, &figures, "meet.test", 5);
        assert_eq!(message["event"], "load-low");
        assert_eq!(message["least_loaded"], "b2");
        assert_eq!(message["people"], 20);
        assert_eq!(message["bridges_draining"], 1);
        assert_eq!(message["bridges"][1]["load"], 0.15);
        assert!((message["mean_load"].as_f64().unwrap() - 0.1).abs() < 1e-9);
    }
}
