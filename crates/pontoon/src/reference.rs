//! `pontoon reference`: the list of settings in its forms.

use crate::args::Form;
use crate::failure::Failure;
use crate::say::say;

/// Prints the reference.
pub(crate) fn print(form: Form) -> Result<(), Failure> {
    let text = match form {
        Form::Markdown => config::reference::markdown(),
        Form::Toml => config::reference::sample(),
        Form::Schema => serde_json::to_string_pretty(&config::reference::json_schema())
            .map_err(Failure::start)?,
    };
    // The line's end is written there.
    say(text.trim_end_matches('\n'))
}
