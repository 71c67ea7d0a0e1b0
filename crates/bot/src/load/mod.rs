//! Load on a server: meetings of synthetic participants who come, speak, and go, and what they see of it.

mod page;
mod plan;
mod report;
mod run;

pub use page::html;
pub use plan::{Limits, Plan, PlanError};
pub use report::{Delays, Report, Sample};
pub use run::{RunError, run};
