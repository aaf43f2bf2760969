//! Figures as self-contained SVG: they open alone and sit in a page, in light and in dark, and no two
//! things differ by colour alone. Colours: Okabe & Ito.

pub mod canvas;
mod confusion;
mod loss_curve;
mod permutation_histogram;
mod reliability;

pub use confusion::confusion;
pub use loss_curve::{CurvePoint, loss_curve};
pub use permutation_histogram::permutation_histogram;
pub use reliability::reliability;
