//! Load on a server: meetings of synthetic participants who come, speak, and go, and what they see of it.

mod page;
mod people;
mod plan;
mod report;
mod run;

pub use page::html;
pub use people::{People, Person};
pub use plan::{Limits, Plan, PlanError};
pub use report::{Delays, Report, Sample};
pub use run::{RunError, Watch, run};
