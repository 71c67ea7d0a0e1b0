//! What operators paste: join tokens, the configuration file, environment and options. Nothing of it ends the process, a
//! token means the same after it was printed, and no message shows a secret.
#![no_main]

use std::path::Path;

use config::{JoinToken, Layers, Machine, Settings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    token(text);
    settings(text);
});

fn token(text: &str) {
    let Ok(token) = text.parse::<JoinToken>() else {
        return;
    };
    let printed = token.reveal();
    assert_eq!(
        printed.parse::<JoinToken>().as_ref(),
        Ok(&token),
        "{printed}"
    );
    let bound = text.len() + "[]65535".len();
    assert!(printed.len() <= bound, "{printed} from {text}");
    // Short passwords stand in any text by chance.
    let secret = token.password.expose();
    assert!(secret.len() < 16 || !format!("{token:?}").contains(secret.as_str()));
}

fn settings(text: &str) {
    let mut layers = Layers::new();
    let mut errors = layers
        .add_file(Path::new("/etc/pontoon.toml"), text)
        .err()
        .unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let named = |(name, value): (&str, &str)| (name.trim().to_owned(), value.trim().to_owned());
    errors.extend(
        layers
            .add_environment(pairs.clone().map(named))
            .err()
            .into_iter()
            .flatten(),
    );
    for (key, value) in pairs.take(16) {
        errors.extend(layers.add_flag("--set", key.trim(), value.trim()).err());
    }
    for privileged in [false, true] {
        let machine = Machine {
            privileged,
            xdg_state_home: None,
            home: None,
        };
        match Settings::check(&layers, &machine) {
            Ok(settings) => drop(format!("{settings:?}")),
            Err(more) => errors.extend(more),
        }
    }
    for error in errors {
        let said = error.to_string();
        assert!(said.len() <= 4 * text.len() + 4096, "{said}");
    }
}
