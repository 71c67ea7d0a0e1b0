//! `pontoon reference`: the list of settings in its forms.

use crate::args::Form;
use crate::failure::Failure;

/// Prints the reference.
pub(crate) fn print(form: Form) -> Result<(), Failure> {
    match form {
        Form::Markdown => print!("{}", config::reference::markdown()),
        Form::Toml => print!("{}", config::reference::sample()),
        Form::Schema => {
            let schema = serde_json::to_string_pretty(&config::reference::json_schema());
            println!("{}", schema.map_err(Failure::start)?);
        }
    }
    Ok(())
}
