//! Results for readers: the table on the terminal, the figures, and the page of a run.

mod controls;
mod html;
mod page;
pub mod svg;
mod table;
mod window_map;

pub use page::{Page, PageReport};
pub use table::{SummaryRow, SummaryTable};
pub use window_map::WindowMap;
