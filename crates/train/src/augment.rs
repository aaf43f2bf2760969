//! Augmentation of training windows. It belongs to the training, not to the encoder, which stays
//! pure; every draw depends on (seed, step).

use std::collections::HashMap;

use flamingo::Medium;
use ndarray::{Axis, Slice};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Example;

/// How a training window is varied each time it is shown; absent: not at all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Share of voxels set to zero, the same ones in all frames of the window; the rest is scaled up
    /// to keep the mean.
    pub voxel_dropout: f64,
    /// Chance that a window is mixed with another one of its class: `(1 − u) · x + u · x'`, u uniform
    /// in 0..0.5.
    pub class_averaging: f64,
    /// A window starts up to this many frames earlier or later.
    pub jitter_frames: usize,
}

/// The frames `margin + shift ..` of a window that carries `margin` frames on either side; a missing one stays missing.
pub(crate) fn crop(window: &Medium, margin: usize, shift: isize) -> Medium {
    if window.is_empty() {
        return window.clone();
    }
    let start = margin.saturating_add_signed(shift);
    let n_frames = window.len_of(Axis(0)) - 2 * margin;
    window.slice_axis(Axis(0), Slice::from(start..start + n_frames)).to_owned()
}

/// Draws augmented windows of some training examples.
pub(crate) struct Augmenter<'a> {
    examples: &'a [Example],
    by_class: HashMap<usize, Vec<usize>>,
    config: &'a AugmentConfig,
}

impl<'a> Augmenter<'a> {
    pub(crate) fn new(examples: &'a [Example], config: &'a AugmentConfig) -> Self {
        let mut by_class: HashMap<usize, Vec<usize>> = HashMap::new();
        for (idx, example) in examples.iter().enumerate() {
            if let Some(class) = example.class {
                by_class.entry(class).or_default().push(idx);
            }
        }
        Self { examples, by_class, config }
    }

    /// What example `idx` shows, its scans varied.
    pub(crate) fn draw(&self, idx: usize, rng: &mut impl Rng) -> Vec<Medium> {
        let example = &self.examples[idx];
        let media = example.media.iter().enumerate().map(|(place, medium)| {
            if example.scans.contains(&place) {
                self.varied(example, place, rng)
            } else {
                medium.as_ref().clone()
            }
        });
        media.collect()
    }

    /// The scan at this place, varied.
    fn varied(&self, example: &Example, place: usize, rng: &mut impl Rng) -> Medium {
        let AugmentConfig { voxel_dropout, class_averaging, jitter_frames } = *self.config;
        let margin = example.margin;
        let reach = jitter_frames.min(margin) as i32;
        let shift = rng.random_range(-reach..=reach) as isize;
        let mut window = crop(&example.media[place], margin, shift);
        let peers = example.class.and_then(|class| self.by_class.get(&class));
        if let Some(peers) = peers
            && rng.random_bool(class_averaging)
        {
            let peer = &self.examples[peers[rng.random_range(0..peers.len())]];
            let share: f32 = rng.random_range(0.0..0.5);
            let other = crop(&peer.media[place], peer.margin, shift);
            // scans of different length have nothing to be mixed, nor has a missing one
            if other.shape() == window.shape() && !window.is_empty() {
                window = window * (1. - share) + other * share;
            }
        }
        if voxel_dropout > 0. {
            let scale = 1. / (1. - voxel_dropout) as f32;
            let voxels = Axis(window.ndim() - 1);
            for mut voxel in window.axis_iter_mut(voxels) {
                let factor = if rng.random_bool(voxel_dropout) { 0. } else { scale };
                voxel.mapv_inplace(|value| value * factor);
            }
        }
        window
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;
    use nn::seeded::rng;
    use std::sync::Arc;

    fn example(value: f32, class: usize) -> Example {
        let frames = Array2::from_shape_fn((5, 200), |(frame, _)| value + frame as f32);
        Example {
            name: "window".into(),
            media: vec![Arc::new(frames.into_dyn())],
            scans: vec![0],
            margin: 1,
            prompt: String::new(),
            report: String::new(),
            weighted: vec![],
            stratum: None,
            class: Some(class),
        }
    }

    #[test]
    fn dropout_keeps_the_mean_and_drops_whole_voxels() {
        let examples = [example(1., 0)];
        let config = AugmentConfig { voxel_dropout: 0.5, class_averaging: 0., jitter_frames: 0 };
        let window = Augmenter::new(&examples, &config).draw(0, &mut rng(1, "a")).remove(0);
        let window = window.into_dimensionality::<ndarray::Ix2>().unwrap();
        assert_eq!(window.dim(), (3, 200));
        let kept = window.columns().into_iter().filter(|v| v.iter().all(|&x| x > 0.)).count();
        let gone = window.columns().into_iter().filter(|v| v.iter().all(|&x| x == 0.)).count();
        assert_eq!(kept + gone, 200);
        assert!((80..120).contains(&kept), "{kept}");
        assert!(window.iter().any(|&x| (x - 4.).abs() < 1e-6));
    }

    #[test]
    fn averaging_stays_within_the_class_and_jitter_within_the_margin() {
        let examples = [example(0., 0), example(100., 0), example(9999., 1)];
        let config = AugmentConfig { voxel_dropout: 0., class_averaging: 1., jitter_frames: 3 };
        let augmenter = Augmenter::new(&examples, &config);
        let mut rng = rng(1, "b");
        let starts: Vec<f32> = (0..200).map(|_| augmenter.draw(0, &mut rng)[0][[0, 0]]).collect();
        assert!(starts.iter().all(|&x| x <= 52.), "a window of another class was mixed in");
        assert!(starts.iter().any(|&x| x > 10.), "no window was mixed");
        assert!(starts.contains(&0.) && starts.contains(&2.), "the start never moved");
    }
}
