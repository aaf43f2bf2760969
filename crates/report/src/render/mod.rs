//! Results for readers: the table on the terminal, the figures, and the page of a run.

mod conditions;
mod controls;
mod differences;
mod html;
mod page;
mod statements;
pub mod svg;
mod table;
mod window_map;

pub use conditions::terminal as other_scans;
pub use html::escape;
pub use page::{OnPage, Page, PageReport, STYLE};
pub use statements::StatementTable;
pub use table::{SummaryRow, SummaryTable};
pub use window_map::WindowMap;
