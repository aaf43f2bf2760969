//! Nuisance series of fMRIPrep: which columns, which frames, how much motion.

mod motion;
mod nameless;
mod select;
mod table;

pub use motion::{
    MotionFigures, MotionLimits, framewise_displacement, largest_displacement, mean_displacement,
};
pub use select::{
    CompCor, ConfoundConfig, ConfoundStrategy, Confounds, Expansion, MotionScrub, NCompCor,
};
pub use table::ConfoundTable;

#[cfg(test)]
mod tests;
