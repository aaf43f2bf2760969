//! Figures as SVG: they open alone and sit in a page, in light and in dark, and no two things differ by colour
//! alone. Colours: Okabe & Ito; maps of numbers are told apart by people who are colour-blind.

mod canvas;
mod carpet;
mod colour;
mod confusion;
mod coverage;
mod curves;
mod gates;
mod glass;
mod loss_curve;
mod matrix;
mod network;
mod outliers;
mod permutation_histogram;
mod picture;
mod reliability;
mod risk;
mod slices;
mod window_map;

pub(crate) use canvas::FIGURE_STYLE;
pub use canvas::Svg;
pub use carpet::{Carpet, carpet};
pub(crate) use confusion::confusion;
pub use coverage::coverage;
pub use curves::Curves;
pub(crate) use gates::gates;
pub use glass::glass_brain;
pub use loss_curve::CurvePoint;
pub(crate) use loss_curve::loss_curve;
pub use matrix::{Matrix, matrix};
pub use network::by_network;
pub use outliers::{Outlier, outliers};
pub(crate) use permutation_histogram::permutation_histogram;
pub use picture::Picture;
pub(crate) use picture::{Image, data_url};
pub(crate) use reliability::reliability;
pub(crate) use risk::risk_coverage;
pub use slices::{SliceView, slices};
pub use window_map::WindowMap;
